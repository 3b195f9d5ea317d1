"""A text in segments: sentences, clauses or runs of words, whose ends meet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from pgsrm_plugin.terms.points import sentence_starts
from pgsrm_plugin.text.words import word_starts

_CLAUSE = re.compile(r"[,;:]+[\"'”’»)\]]*\s+|\s[-–—]+\s+|—|[，；：、]+[」』”’）]*\s*")
"""What a clause ends with, and the white space behind it."""

Span = tuple[int, int]


def segment(text: str, by: str, most: int) -> list[Span]:
    """Start and end of each segment; together they are the whole text, and each has a letter or number in it.

    Args:
        by: ``sentence`` (as :func:`pgsrm_plugin.terms.points.points` has them), ``clause`` (also up to a comma, colon,
            semicolon or dash) or ``words:N``.
        most: of the segments; the shortest are joined, each to the shorter one beside it.

    >>> text = "Red, then blue. Green!"
    >>> [text[start:end] for start, end in segment(text, "sentence", 16)]
    ['Red, then blue. ', 'Green!']
    >>> [text[start:end] for start, end in segment(text, "clause", 16)]
    ['Red, ', 'then blue. ', 'Green!']
    >>> [text[start:end] for start, end in segment(text, "clause", 2)]
    ['Red, then blue. ', 'Green!']
    """
    return merged(_spans(text, _starts(text, by)), most)


def merged(spans: Sequence[Span], most: int) -> list[Span]:
    """At most so many: the shortest (the first of them) is joined to the shorter of those beside it (the one before).

    >>> merged([(0, 3), (3, 4), (4, 9), (9, 11)], 2)
    [(0, 4), (4, 11)]
    """
    spans = list(spans)
    while len(spans) > most:
        lengths = [end - start for start, end in spans]
        shortest = lengths.index(min(lengths))
        after = shortest + 1 < len(spans) and (shortest == 0 or lengths[shortest + 1] < lengths[shortest - 1])
        first = shortest if after else shortest - 1
        spans[first : first + 2] = [(spans[first][0], spans[first + 1][1])]
    return spans


def _starts(text: str, by: str) -> list[int]:
    if by == "sentence":
        return sentence_starts(text)
    if by == "clause":
        return sorted({*sentence_starts(text), *(end.end() for end in _CLAUSE.finditer(text))})
    return word_starts(text)[:: int(by.partition(":")[2])]


def _spans(text: str, starts: Sequence[int]) -> list[Span]:
    """The text cut at the given places, but for where that would leave a piece without a letter or number."""
    cuts = [0]
    for start in starts:
        if 0 < start < len(text) and _says(text[cuts[-1] : start]):
            cuts.append(start)
    if len(cuts) > 1 and not _says(text[cuts[-1] :]):
        cuts.pop()
    return list(pairwise([*cuts, len(text)])) if text else []


def _says(text: str) -> bool:
    return any(map(str.isalnum, text))
