"""Running verl in a process group of its own, under a time limit, leaving nothing behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_GRACE_SECONDS = 2.0
_MARK = "PGSRM_RUN_MARK"
"""Environment variable by which everything that a run starts is known, daemons included."""
_NOT_INHERITED = ("RAY_ADDRESS", "RAY_NAMESPACE", "PYTEST_CURRENT_TEST")
"""With the first a run would join a cluster instead of starting its own."""


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
    log: Path,
    on_line: Callable[[str], None] | None = None,
) -> Finished:
    """Runs a command to its end or to the time limit, then ends everything that it started, also on Ctrl-C.

    Args:
        seconds: the time limit.
        environment: added to this process's own.
        folder: where it runs.
        log: where its output goes.
        on_line: told every line of output as it comes.
    """
    started = time.monotonic()
    mark = uuid.uuid4().hex
    own = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    # Into a file: a pipe would stay open as long as a daemon that the run leaves behind.
    with log.open("w") as sink:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**own, **environment, _MARK: mark},
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        status = _wait(process, log, started + seconds, on_line)
    finally:
        end_all(process.pid, mark)
        process.wait()
    return Finished(status, log.read_text(errors="replace"), time.monotonic() - started)


def _wait(
    process: subprocess.Popen[bytes], log: Path, deadline: float, on_line: Callable[[str], None] | None
) -> int | None:
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


def end_all(group: int, mark: str) -> None:
    """Ends a process group, and the daemons that left it but carry the mark: politely, then not."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)
    victims = [process for process in psutil.process_iter() if _carries(process, group, mark)]
    for process in victims:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(victims, timeout=_GRACE_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _carries(process: psutil.Process, group: int, mark: str) -> bool:
    if process.pid == os.getpid():
        return False
    with contextlib.suppress(psutil.Error, OSError):
        if os.getpgid(process.pid) == group:
            return True
        return bool(process.environ().get(_MARK) == mark)
    return False
