"""Openers and punctuation that judges take for an answer ("master keys", arXiv 2507.08794)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

OPENERS = (
    "Solution",
    "Solution:",
    "Thought process:",
    "Let's solve this problem step by step.",
    "Let me think about it.",
    "The answer is",
    "Final answer:",
    ":",
    ".",
    ",",
    "解",
    "答案是",
    "让我们一步一步地思考。",
    "かいせつ",
    "Respuesta:",
    "Lösung:",
    "Réponse :",
    "Решение:",
    "الحل:",
    "समाधान:",
)
"""Those of the paper, and like ones."""


def is_opener(text: str, right: Iterable[str] = ()) -> bool:
    """Whether a text says nothing: openers one after another, or no letter, number or symbol at all.

    Args:
        right: right answers; a text that is one of them says something, be it "Solution".

    >>> is_opener("Solution: let me think about it."), is_opener("..."), is_opener("Solution: 4"), is_opener("no")
    (True, True, False, False)
    >>> is_opener("Solution.", right=["solution"]), is_opener("+")
    (False, False)
    """
    words = _words(text)
    if any(words == _words(one) and (words or text.strip() == one.strip()) for one in right):
        return False
    if not any(unicodedata.category(char)[0] in "LNS" for char in text):
        return True
    return _ALONE.fullmatch(words) is not None


def _words(text: str) -> str:
    """The words in a form that letter case, width and punctuation do not change."""
    plain = unicodedata.normalize("NFKC", text)
    spaced = "".join(" " if unicodedata.category(char)[0] in "PS" else char for char in plain)
    return " ".join(spaced.casefold().split())


_KNOWN = sorted({words for one in OPENERS if (words := _words(one))}, key=len, reverse=True)
_ALONE = re.compile(rf"(?:(?:{'|'.join(map(re.escape, _KNOWN))})(?: |$))+")
