"""Numbers: another amount is another answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.amounts import amounts, unmatched
from pgsrm_plugin.guards.english.reading import likeness, ramp

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder


class NumericConsistency(Guard):
    r"""Amounts of the response that contradict the reference's.

    With :math:`u_x` and :math:`u_y` the amounts of response and reference that the other one lacks, of
    :math:`n_y` in the reference: :math:`\min(1, 2 \min(u_x, u_y) / n_y)`. So an amount that is left out, or added to a
    text without any, breaks nothing; in a near copy, one added to all of the reference's breaks 0.8. Digits count in
    every language, words and units in English.
    """

    kind: Literal["numeric_consistency"] = "numeric_consistency"

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [_violation(pair) for pair in pairs]


def _violation(pair: Compared) -> Violation:
    expected = len(amounts(pair.reference))
    if not expected or not amounts(pair.response):
        return NONE
    added, missing = unmatched(pair.response, pair.reference)
    share = min(1.0, 2.0 * min(len(added), len(missing)) / expected)
    if added and len(amounts(pair.response)) > expected:
        share = max(share, 0.8 * ramp(likeness(pair.response, pair.reference), 0.55, 0.7))
    return Violation(share, tuple(one.text for one in (*added, *missing))) if share else NONE
