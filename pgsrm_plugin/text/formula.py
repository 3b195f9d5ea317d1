"""Equality of formulas, by math-verify: in a process of its own, because a policy's formula can keep sympy for ever."""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path

from pgsrm_plugin.errors import ScorerError

MAX_CHARS = 500
"""A longer formula is equal to nothing."""
SECONDS = 60.0
"""After so long the process, whose own limit is one of CPU time, is ended."""
_PROGRAM = Path(__file__).with_name("formula_worker.py")


@functools.lru_cache(maxsize=16_384)
def same_formula(answer: str, truth: str) -> bool:
    r"""Whether two formulas in LaTeX, or as people type them, are mathematically equal.

    Sets, intervals, tuples and equations too; see math-verify. Safe to call from several threads.

    Raises:
        ScorerError: the process that compares cannot be started.

    >>> same_formula(r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2"), same_formula("(x+1)^2", "x^2+2x")
    (True, False)
    """
    if max(len(answer), len(truth)) > MAX_CHARS:
        return False
    return _WORKER.same(answer, truth)


class _Worker:
    """The process, started at the first question and again after one that took too long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def same(self, answer: str, truth: str) -> bool:
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None or self._owner != os.getpid():
                process = self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps([answer, truth]).encode() + b"\n")
                process.stdin.flush()
                ready, _, _ = select.select([process.stdout], [], [], SECONDS)
                line = process.stdout.readline() if ready else b""
            except OSError:
                line = b""
            if not line:  # too long, or out of memory
                self.stop()
            return line == b"true\n"

    def stop(self) -> None:
        # After a fork the process is still the parent's, and its pipes answer the parent.
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.communicate()
        self._process, self._owner = None, os.getpid()

    def _start(self) -> subprocess.Popen[bytes]:
        self.stop()
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise ScorerError(
                "formulas cannot be compared: the process for math-verify ends at its start; see its message above"
            )
        return self._process


_WORKER = _Worker()
atexit.register(_WORKER.stop)
