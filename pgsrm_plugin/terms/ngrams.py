"""Word n-grams, shared by the terms that count them."""

from __future__ import annotations

import functools
import re
import unicodedata

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Kana and Han, which are written without spaces: each character counts as a word."""


def word_ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """The n-grams of lower-case words and punctuation marks of any script, in order, repeats included.

    >>> word_ngrams("Red, red", 2)
    [('red', ','), (',', 'red')]
    """
    words = _word().findall(text.lower())
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


@functools.cache
def _word() -> re.Pattern[str]:
    marks = "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.category(chr(code))[0] == "M")
    return re.compile(rf"[{_UNSPACED}]|(?:[^\W_{_UNSPACED}]|[{marks}])+|[^\w\s]|_")
