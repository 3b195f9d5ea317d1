"""Equality of formulas, by math-verify: in a process of its own, because a policy's formula can keep sympy for ever."""

from __future__ import annotations

import atexit
import json
import os
import re
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


_KNOWN = 16_384
"""Pairs whose outcome is kept."""


def same_formula(answer: str, truth: str) -> bool:
    r"""Whether two formulas in LaTeX, or as people type them, are mathematically equal.

    Sets, intervals, tuples and equations too; see math-verify. Safe to call from several threads and after a fork.

    Raises:
        ScorerError: the process that compares cannot be started.

    >>> same_formula(r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2"), same_formula("(x+1)^2", "x^2+2x")
    (True, False)
    """
    if max(len(answer), len(truth)) > MAX_CHARS:
        return False
    return _worker.same(*_letters_apart(answer, truth))


def _letters_apart(*formulas: str) -> list[str]:
    """The formulas with an index at each capital that occurs small too: math-verify takes R and r for one variable."""
    letters = {match for formula in formulas for match in _VARIABLE.findall(formula)}
    both = {letter for letter in letters if letter.isupper() and letter.lower() in letters}
    return [_VARIABLE.sub(lambda m: f"{m[0]}_{{0}}" if m[0] in both else m[0], formula) for formula in formulas]


_VARIABLE = re.compile(r"(?<![\\A-Za-z])[A-Za-z](?![A-Za-z])")


class _Worker:
    """The process, started at the first question and again after one that it did not answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._known: dict[tuple[str, str], bool] = {}

    def same(self, answer: str, truth: str) -> bool:
        with self._lock:
            known = self._known.get((answer, truth))
            if known is not None:
                return known
            # A process that was killed from outside is no verdict: a new one is asked once more, and nothing is kept.
            for _ in range(2):
                verdict = self._ask(answer, truth)
                if verdict is not None:
                    if len(self._known) >= _KNOWN:
                        self._known.clear()
                    self._known[answer, truth] = verdict
                    return verdict
            return False

    def _ask(self, answer: str, truth: str) -> bool | None:
        process = self._process if self._process is not None and self._process.poll() is None else self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        line = b""
        try:
            process.stdin.write(json.dumps([answer, truth]).encode() + b"\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], SECONDS)
            line = process.stdout.readline() if ready else b""
        except OSError:
            pass
        finally:
            # Also where a signal's exception leaves here: an answer left in the pipe would be taken for the next one's.
            if not line:
                self.stop()
        return {b"true\n": True, b"false\n": False}.get(line)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None

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


def _forget() -> None:
    """A forked child has the parent's pipes, whose answers are the parent's, and perhaps its lock, held for ever."""
    global _worker
    _worker = _Worker()


_worker = _Worker()
os.register_at_fork(after_in_child=_forget)
atexit.register(lambda: _worker.stop())
