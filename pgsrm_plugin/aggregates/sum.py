"""The weighted sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pgsrm_plugin.aggregates.base import Aggregate, Composed, ScoredRows, Weighed


class Sum(Aggregate):
    r"""The weighted sum of the terms: :math:`\sum_k w_k t_k`.

    A term that is off on a row adds nothing; the other weights stay as they are.
    """

    kind: Literal["sum"] = "sum"
    others_say: ClassVar = ("weighted_sum", "mean", "weighted", "sum_then_normalize")

    def compose(self, scored: ScoredRows) -> Composed:
        """Totals and their parts, in the spec's order of the terms."""
        parts = weighted(scored.terms, scored.values)
        return Composed(added(parts, scored), parts)

    def reach(self, terms: Mapping[str, Weighed]) -> tuple[float, float]:
        """The sums of the terms' ends."""
        ends = []
        for one in terms.values():
            off = () if one.term.when is None else (0.0,)
            ends.append(sorted([*(one.weight * bound for bound in one.term.bounds), *off]))
        return sum(end[0] for end in ends), sum(end[-1] for end in ends)


def weighted(terms: Mapping[str, Weighed], values: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Values times weights, by term; 0.0 is added, which turns -0.0 into 0.0."""
    return {name: [terms[name].weight * value + 0.0 for value in column] for name, column in values.items()}


def added(parts: Mapping[str, Sequence[float]], scored: ScoredRows) -> list[float]:
    """The sum of each row's parts, one after the other."""
    totals = [0.0 for _ in scored.rows]
    for part in parts.values():
        totals = [total + value for total, value in zip(totals, part, strict=True)]
    return totals
