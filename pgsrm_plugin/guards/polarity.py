"""Negation: the same words, denied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.reading import Reading, likeness, ramp, read_english

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder


class Polarity(Guard):
    """Words that one text denies and the other does not (English).

    A negation's scope is six content words to its right, up to a break (NegEx, Chapman et al. 2001); of "no", "none"
    and "nothing" also to the left. One shared content word of other polarity breaks 0.8, two break 1, weighed by how
    near a copy the response is: nothing up to a likeness of 0.35, all from 0.5 on.
    """

    kind: Literal["polarity"] = "polarity"

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [_violation(pair) for pair in pairs]


def _violation(pair: Compared) -> Violation:
    both = read_english(pair.response, pair.reference)
    if both is None:
        return NONE
    response, reference = both
    said, expected = _polarities(response), _polarities(reference)
    opposed = sorted(stem for stem in said.keys() & expected.keys() if said[stem].isdisjoint(expected[stem]))
    if not opposed:
        return NONE
    share = (1.0 if len(opposed) > 1 else 0.8) * ramp(likeness(pair.response, pair.reference), 0.35, 0.5)
    return Violation(share, tuple(opposed)) if share else NONE


def _polarities(reading: Reading) -> dict[str, set[bool]]:
    found: dict[str, set[bool]] = {}
    for _, stem, negated in reading.content:
        found.setdefault(stem, set()).add(negated)
    return found
