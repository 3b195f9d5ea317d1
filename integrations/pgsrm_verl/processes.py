"""Running verl in a process group of its own, under a time limit, leaving nothing behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit status (None if it was stopped at the time limit), its output and its seconds."""

    status: int | None
    output: str
    seconds: float


@contextlib.contextmanager
def short_temp_dir() -> Iterator[Path]:
    """A folder for Ray, deleted afterwards; near the root, as a socket has at most 107 characters of path."""
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp" if os.path.isdir("/tmp") else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_limited(
    command: Sequence[str],
    *,
    seconds: float,
    environment: Mapping[str, str],
    folder: Path,
    marker: str,
    on_line: Callable[[str], None] | None = None,
) -> Finished:
    """Runs a command to its end or to the time limit, then ends everything that it started, also on Ctrl-C.

    Args:
        seconds: the time limit.
        environment: added to this process's own.
        folder: where it runs.
        marker: text in the command line or environment of whatever it starts, such as Ray's temporary folder: by it
            the daemons are found that left the process group.
        on_line: told every line of output as it comes.
    """
    started = time.monotonic()
    log = folder / "output.log"
    with log.open("w") as sink:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment, "PGSRM_RUN_MARKER": marker},
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        status = _wait(process, log, started + seconds, on_line)
    finally:
        end_all(process.pid, marker)
        process.wait()
    return Finished(status, log.read_text(errors="replace"), time.monotonic() - started)


def _wait(process: subprocess.Popen, log: Path, deadline: float, on_line: Callable[[str], None] | None) -> int | None:
    with log.open(errors="replace") as lines:
        while True:
            status = process.poll()
            for line in lines:
                if on_line is not None:
                    on_line(line.rstrip("\n"))
            if status is not None:
                return status
            if time.monotonic() > deadline:
                return None
            time.sleep(0.1)


def end_all(group: int, marker: str) -> None:
    """Ends a process group and every process that carries the marker: politely, then not."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)
    victims = [process for process in psutil.process_iter() if _carries(process, group, marker)]
    for process in victims:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(victims, timeout=_GRACE_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _carries(process: psutil.Process, group: int, marker: str) -> bool:
    if process.pid == os.getpid():
        return False
    with contextlib.suppress(psutil.Error, OSError):
        if os.getpgid(process.pid) == group:
            return True
        return process.environ().get("PGSRM_RUN_MARKER") == marker
    return False
