"""Every term normalised within its group first (GDPO)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pgsrm_plugin.aggregates.base import Aggregate, Composed, ScoredRows, Weighed
from pgsrm_plugin.aggregates.sum import Sum, added, weighted


class GroupNormalised(Aggregate):
    r"""The z-score of each term within its group, summed, and the sum z-scored over the batch (GDPO).

    :math:`A_i = z_{\mathrm{batch}}(\sum_k w_k z_{\mathrm{group}}(t_{k,i}))` (arXiv 2601.05242): terms of different
    spread weigh as their weights say. The totals are advantages. A term is normalised over those rows of the group on
    which it is on, and adds nothing elsewhere.
    """

    kind: Literal["group_normalised"] = "group_normalised"
    others_say: ClassVar = ("gdpo", "group_norm", "normalize_then_sum")
    gives_advantages: ClassVar = True
    suits: ClassVar = "GRPO, which takes the totals as advantages"

    @property
    def needs_groups(self) -> bool:
        """True."""
        return True

    def alone(self) -> Aggregate:
        """The sum: a group of one has no spread."""
        return Sum()

    def compose(self, scored: ScoredRows) -> Composed:
        """Advantages; ``worth`` is the weighted sum before any normalisation."""
        from pgsrm_plugin.functional import group_zscore, zscore

        within = {}
        for name, column in scored.values.items():
            on = [row for row in scored.rows if scored.counts(name, row)]
            scores = group_zscore([column[row] for row in on], [scored.groups[row] for row in on])
            within[name] = [0.0] * len(column)
            for row, score in zip(on, scores, strict=True):
                within[name][row] = score
        parts = weighted(scored.terms, within)
        return Composed(zscore(added(parts, scored)), parts, worth=Sum().compose(scored).total)

    def reach(self, terms: Mapping[str, Weighed]) -> None:
        """None: mean 0 and standard deviation 1 over the batch."""
