"""The process behind :mod:`pgsrm_plugin.text.formula`: pairs as JSON lines in, ``true`` or ``false`` out.

A program rather than a module: it imports nothing of this package, so that it starts quickly.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
from types import FrameType

SECONDS = 1.0
"""CPU time that a pair may take, so that an answer does not depend on how busy the machine is."""
MEMORY = 4 * 2**30


class _TooLong(BaseException):
    """No Exception, which sympy would take for one of its own."""


def _stop(signum: int, frame: FrameType | None) -> None:
    raise _TooLong


def main() -> None:
    """Answers until the input ends."""
    sys.path.pop(0)  # the folder of this file, whose modules are not for this program
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    from math_verify import LatexExtractionConfig, parse, verify

    out, sys.stdout = sys.stdout, sys.stderr
    logging.disable()
    signal.signal(signal.SIGPROF, _stop)

    def read(formula: str) -> list[object]:
        latex: list[object] = parse(f"${formula}$", [LatexExtractionConfig()], parsing_timeout=None)
        return latex

    def same(answer: str, truth: str) -> bool:
        try:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            return bool(verify(read(truth), read(answer), timeout_seconds=None))
        except (Exception, _TooLong):  # whatever sympy cannot read is equal to nothing
            return False
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    same("(x+1)^2", "x^2+2x+1")  # the first one loads most of sympy
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        print("true" if same(*json.loads(line)) else "false", file=out, flush=True)


if __name__ == "__main__":
    main()
