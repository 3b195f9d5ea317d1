"""Regular expressions that users write and policies answer: each search has a bound on its time."""

from __future__ import annotations

import functools
import logging

import regex

SECONDS = 1.0
"""CPU time of the process that one search may take: a pattern such as ``(a+)+b`` would take for ever on a text made for
it. Threads that are busy beside it count too, so it is far more than an honest search takes."""

_logger = logging.getLogger(__name__)


def matches_whole(pattern: str, text: str) -> bool:
    """Whether the pattern, whose dot matches line breaks too, matches the whole text.

    >>> matches_whole("a.*b", "a\\nb"), matches_whole("(a+)+b", "a" * 40)
    (True, False)
    """
    try:
        return _compiled(pattern, regex.DOTALL).fullmatch(text, timeout=SECONDS) is not None
    except TimeoutError:
        _say(pattern, len(text))
        return False


def find_last(pattern: str, text: str) -> tuple[int, int] | None:
    """Where the first group of the pattern's last match stands, or None where there is no match.

    >>> find_last("is (\\w+)", "it is red, no, it is blue")
    (21, 25)
    """
    last: tuple[int, int] | None = None
    try:
        for match in _compiled(pattern, 0).finditer(text, timeout=SECONDS):
            last = match.span(1)
    except TimeoutError:
        _say(pattern, len(text))
        return None
    return last if last is not None and last[0] >= 0 else None


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str, flags: int) -> regex.Pattern[str]:
    return regex.compile(pattern, flags)


@functools.lru_cache(maxsize=64)
def _warn(pattern: str, length: int) -> None:
    _logger.warning(
        "the pattern %r was given up after %s s on a response of about %d characters, which counts as no match; "
        "write it without repeats of what itself repeats, and with [^\\n] where .* is not needed",
        pattern,
        SECONDS,
        length,
    )


def _say(pattern: str, length: int) -> None:
    _warn(pattern, 2 ** length.bit_length())
