"""Word n-grams, shared by the terms that count them."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+|[^\w\s]")


def word_ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """The n-grams of lower-case words and punctuation marks, in order, repeats included.

    >>> word_ngrams("Red, red", 2)
    [('red', ','), (',', 'red')]
    """
    words = _WORD.findall(text.lower())
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
