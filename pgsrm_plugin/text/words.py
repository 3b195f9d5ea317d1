"""What a word is, for every part that counts or compares words."""

from __future__ import annotations

import functools
import re
import unicodedata

from pgsrm_plugin.text.clean import half_spaces

_UNSPACED = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e50-\u0e59"  # Thai
    "\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0ed0-\u0edf"  # Lao
    "\u1000-\u102a\u103f-\u1055\u1090-\u1099\uaa60-\uaa7a"  # Burmese
    "\u1780-\u17b3\u17e0-\u17e9"  # Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9d"  # kana, of full and half width
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
"""Scripts written without spaces: each character, with the marks on it, counts as a word. Korean has spaces."""


def word_ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """The n-grams of lower-case words and punctuation marks of any script, in order, repeats included.

    >>> word_ngrams("Red, red", 2)
    [('red', ','), (',', 'red')]
    """
    tokens = _tokens(text)
    return [tokens[start : start + n] for start in range(len(tokens) - n + 1)]


def words(text: str) -> list[str]:
    """The lower-case words, without punctuation.

    >>> words("A well-known word: 苹果, ไก่")
    ['a', 'well', 'known', 'word', '苹', '果', 'ไ', 'ก่']
    """
    return [token for token in _tokens(text) if token[0].isalnum()]


def count_words(text: str) -> int:
    """Words as an editor counts them: what stands between white space; of scripts without spaces, each character.

    >>> count_words("A well-known word"), count_words("今天天气非常好。"), count_words("iPhone很好")
    (3, 7, 3)
    """
    if text.isascii():
        return len(text.split())
    return sum(max(1, len(_piece().findall(chunk))) for chunk in half_spaces(text).split())


def word_starts(text: str) -> list[int]:
    """Where the words begin that :func:`count_words` counts.

    >>> word_starts("A well-known 苹果")
    [0, 2, 13, 14]
    """
    return [piece.start() for piece in _piece().finditer(half_spaces(text))]


def spaced(text: str) -> str:
    """The text with spaces around each character of a script that is written without them.

    >>> spaced("买了iPhone。")
    ' 买  了 iPhone。'
    """
    return _character().sub(lambda match: f" {match[0]} ", half_spaces(text))


@functools.lru_cache(maxsize=16_384)
def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_token().findall(half_spaces(text.lower())))


@functools.cache
def _marks() -> str:
    return (
        "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.category(chr(code))[0] == "M")
        + "\u200c\u200d"
    )


@functools.cache
def _token() -> re.Pattern[str]:
    return re.compile(rf"[{_UNSPACED}][{_marks()}\uff9e\uff9f]*|(?:[^\W_{_UNSPACED}]|[{_marks()}])+|[^\w\s]|_")


@functools.cache
def _character() -> re.Pattern[str]:
    return re.compile(rf"[{_UNSPACED}][{_marks()}\uff9e\uff9f]*")


@functools.cache
def _piece() -> re.Pattern[str]:
    """A character of a script without spaces, or a run of letters and numbers of others between such."""
    return re.compile(
        rf"[{_UNSPACED}][\uff9e\uff9f]*|(?<![^\s{_UNSPACED}])[^\s{_UNSPACED}]*[^\W{_UNSPACED}][^\s{_UNSPACED}]*"
    )
