"""Antonyms: one word is its opposite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.antonyms import are_antonyms, has_antonym
from pgsrm_plugin.guards.english.reading import FUNCTION_WORDS, Reading, likeness, ramp, read_english

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder

_OPPOSABLE = frozenset(
    [
        "before",
        "after",
        "until",
        "first",
        "last",
        "more",
        "less",
        "most",
        "least",
        "all",
        "none",
        "always",
        "never",
        "up",
        "down",
        "into",
        "out",
        "over",
        "under",
        "with",
        "without",
        "can",
        "above",
        "below",
        "few",
        "many",
    ]
)
"""Function words that have an opposite."""


class Antonymy(Guard):
    """A word of the response whose opposite stands in the reference (English).

    Opposites are WordNet's antonyms and some more, in any form, of one polarity, neither of them in the other text.
    Weighed by how near a copy the response is: nothing up to a likeness of 0.4, all from 0.55 on.
    """

    kind: Literal["antonymy"] = "antonymy"

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [_violation(pair) for pair in pairs]


def _violation(pair: Compared) -> Violation:
    both = read_english(pair.response, pair.reference)
    if both is None:
        return NONE
    response, reference = both
    near = ramp(likeness(pair.response, pair.reference), 0.4, 0.55)
    if not near:
        return NONE
    said, expected = _own(response, reference), _own(reference, response)
    opposed = [
        f"{word}/{other}"
        for word, negated in said
        for other, other_negated in expected
        if negated == other_negated and are_antonyms(word, other)
    ]
    return Violation(near, tuple(opposed)) if opposed else NONE


def _own(reading: Reading, other: Reading) -> list[tuple[str, bool]]:
    """The words with an opposite that the other text lacks, and whether they are negated."""
    return [
        (word, negated)
        for word, stem, negated in zip(reading.words, reading.stems, reading.negated, strict=True)
        if word[0].isalpha()
        and stem not in other.counts
        and (word not in FUNCTION_WORDS or word in _OPPOSABLE)
        and has_antonym(word)
    ]
