"""Negation: the same words, denied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.reading import Reading, blocks, likeness, listed, ramp, read, read_english, statements

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder


_AMOUNTS = listed(
    """everyone everybody everything anyone anybody anything someone somebody something nearly almost ever always often
    well even still yet indeed"""
)
"""Words that come and go with a negation: "nearly everyone", "hardly anyone"."""


class Polarity(Guard):
    """Words that one text denies and the other does not (English).

    A negation's scope is six content words to its right, up to a break (NegEx, Chapman et al. 2001); of "no", "none"
    and "nothing" also to the left. One shared content word of other polarity breaks 0.8, two break 1, weighed by how
    near a copy the response is: nothing up to a likeness of 0.35, all from 0.5 on. A word that also stands elsewhere is
    compared where it stands in both texts, from a likeness of 0.6 on, in full from 0.75; so is the number of negations
    of texts whose content words are all the same. Where both texts deny as often, and one of the words that both deny
    is the same, they deny the same thing. Of a response of more sentences or clauses than the reference the worst one
    counts: who says a thing and its contrary contradicts one of them.
    """

    kind: Literal["polarity"] = "polarity"

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [_violation(pair.response, pair.reference) for pair in pairs]


def _violation(response: str, reference: str) -> Violation:
    if read_english(response, reference) is None:
        return NONE
    return max(_opposed(*one) for one in statements(response, reference))


def _opposed(response: str, reference: str) -> Violation:
    near = ramp(likeness(response, reference), 0.35, 0.5)
    if not near:
        return NONE
    said, expected = read(response), read(reference)
    polarities, others = _polarities(said), _polarities(expected)
    shared = polarities.keys() & others.keys()
    opposed = sorted(stem for stem in shared if polarities[stem].isdisjoint(others[stem]))
    if not opposed:
        near = ramp(likeness(response, reference), 0.6, 0.75)
        opposed = sorted(_turned(response, reference) & shared) if near else []
    if near and not opposed and said.denials != expected.denials and _content(said) == _content(expected):
        return Violation(0.8 * near, ("only the negation",))
    if not opposed:
        return NONE
    denied = any(polarities[stem] == others[stem] == {True} for stem in shared)
    if denied and said.denials == expected.denials:
        return NONE
    return Violation((1.0 if len(opposed) > 1 else 0.8) * near, tuple(opposed))


def _turned(response: str, reference: str) -> set[str]:
    """The stems that stand at the same place of both texts, once denied and once not."""
    said, expected = read(response), read(reference)
    return {
        said.stems[block.b + k]
        for block in blocks(response, reference)
        for k in range(block.size)
        if said.negated[block.b + k] != expected.negated[block.a + k]
    }


def _content(reading: Reading) -> Counter[str]:
    return Counter(stem for word, stem, _ in reading.content if word not in _AMOUNTS)


def _polarities(reading: Reading) -> dict[str, set[bool]]:
    found: dict[str, set[bool]] = {}
    for _, stem, negated in reading.content:
        found.setdefault(stem, set()).add(negated)
    return found
