"""Numbers: another amount is another answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.amounts import Amount, amounts, unmatched
from pgsrm_plugin.guards.english.reading import likeness, ramp

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder

_NEAR = 0.35


class NumericConsistency(Guard):
    r"""Amounts of the response that contradict the reference's.

    With :math:`u_x` and :math:`u_y` the amounts of response and reference that the other one lacks, of
    :math:`n_y` in the reference: :math:`\min(1, 2 \min(u_x, u_y) / n_y)`. So an amount that is left out, or added to a
    text without any, breaks nothing; in a near copy, one added to all of the reference's breaks 0.8. The words "two"
    and "zero" without a unit count only between texts of a likeness of 0.35 and more. Digits count in every language,
    words and units in English.
    """

    kind: Literal["numeric_consistency"] = "numeric_consistency"

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [_violation(pair) for pair in pairs]


def _violation(pair: Compared) -> Violation:
    said, expected = amounts(pair.response), amounts(pair.reference)
    if not said or not expected:
        return NONE
    if any(_is_loose(one) for one in (*said, *expected)) and likeness(pair.response, pair.reference) < _NEAR:
        said, expected = (tuple(one for one in side if not _is_loose(one)) for side in (said, expected))
    if not said or not expected:
        return NONE
    added, missing = unmatched(said, expected)
    share = min(1.0, 2.0 * min(len(added), len(missing)) / len(expected))
    if added and len(said) > len(expected):
        share = max(share, 0.8 * ramp(likeness(pair.response, pair.reference), 0.55, 0.7))
    return Violation(share, tuple(one.text for one in (*added, *missing))) if share else NONE


def _is_loose(amount: Amount) -> bool:
    """Whether it may be there for grammar only: "two numbers", "below zero"."""
    return not amount.dimension and amount.text in ("zero", "two")
