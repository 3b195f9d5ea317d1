"""Antonyms: one word is its opposite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.antonyms import are_antonyms, has_antonym
from pgsrm_plugin.guards.english.reading import (
    FUNCTION_WORDS,
    Reading,
    likeness,
    listed,
    ramp,
    read,
    read_english,
    statements,
)
from pgsrm_plugin.guards.english.sides import sides

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder

_OPPOSABLE = listed(
    """before after until since first last more less most least all none always never up down into out over under with
    without can above below few many on off even odd"""
)
"""Function words that have an opposite."""


class Antonymy(Guard):
    """A word of the response whose opposite stands in the reference (English).

    Opposites are WordNet's antonyms and some more, in any form, of one polarity, each more often in its own text than
    in the other. Where the words beside them have changed sides, too, both say the same: "gold is heavier than
    silver", "silver is lighter than gold". Weighed by how near a copy the response is: nothing up to a likeness of 0.4,
    all from 0.55 on.
    """

    kind: Literal["antonymy"] = "antonymy"

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [_violation(pair.response, pair.reference) for pair in pairs]


def _violation(response: str, reference: str) -> Violation:
    if read_english(response, reference) is None:
        return NONE
    return max(_opposed(*one) for one in statements(response, reference))


def _opposed(response: str, reference: str) -> Violation:
    near = ramp(likeness(response, reference), 0.4, 0.55)
    if not near:
        return NONE
    said, expected = read(response), read(reference)
    own, others = _own(said, expected), _own(expected, said)
    opposed = [
        f"{said.words[i]}/{expected.words[j]}"
        for i in own
        for j in others
        if said.negated[i] == expected.negated[j]
        and are_antonyms(said.words[i], expected.words[j])
        and sides(said, i).agree(sides(expected, j)) is not False
    ]
    return Violation(near, tuple(opposed)) if opposed else NONE


def _own(reading: Reading, other: Reading) -> list[int]:
    """The places of words with an opposite that are oftener here than in the other text."""
    return [
        i
        for i, (word, stem) in enumerate(zip(reading.words, reading.stems, strict=True))
        if word[0].isalpha()
        and reading.counts[stem] > other.counts[stem]
        and (word not in FUNCTION_WORDS or word in _OPPOSABLE)
        and has_antonym(word)
    ]
