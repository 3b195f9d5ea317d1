"""A service in a process of its own, and the memory that it holds."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from pgsrm_plugin.errors import ScorerError

_PATIENCE_S = 300.0


class StartedService:
    """``pgsrm serve SPEC`` on a port of this machine."""

    def __init__(self, spec: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "pgsrm_plugin.cli", "serve", spec, "--port", str(port)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def wait_until_ready(self) -> None:
        """Waits for ``/health``.

        Raises:
            ScorerError: it ended, or took too long.
        """
        until = time.monotonic() + _PATIENCE_S
        while self.process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health", timeout=10).status_code == 200:
                    return
            time.sleep(0.1)
        raise ScorerError(f"the service did not start (exit status {self.process.poll()})")

    def memory_mb(self, what: str = "VmRSS") -> float:
        """The resident set in MiB, now or at its peak (``VmHWM``); 0 where the system does not tell."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith(f"{what}:"):
                    return float(line.split()[1]) / 1024
        return 0.0

    def cpu_s(self) -> float:
        """CPU seconds that its threads took so far; 0 where the system does not tell."""
        with contextlib.suppress(OSError):
            # After the name in brackets, which may hold spaces: fields 14 and 15 of proc(5) are at 11 and 12.
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def kill(self) -> None:
        """Ends it as an out-of-memory killer would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def started(spec: str, port: int | None = None) -> Iterator[StartedService]:
    """A service for the length of a block; on any free port, unless one is given."""
    service = StartedService(spec, free_port() if port is None else port)
    try:
        service.wait_until_ready()
        yield service
    finally:
        if service.process.poll() is None:
            service.process.terminate()
        try:
            service.process.wait(60)
        except subprocess.TimeoutExpired:
            service.kill()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
    return port
