"""Constraints that scale what the objectives earn: a soft AND."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.aggregates.base import (
    Aggregate,
    Composed,
    ScoredRows,
    Weighed,
    merits_only,
    named,
    weighted_mean,
)
from pgsrm_plugin.section import problem_at


class Gated(Aggregate):
    r"""A weighted mean of objectives, times the smoothed geometric mean of constraints (SearchLLM).

    :math:`R = B U` with :math:`B = \prod_k \max(b_k, \delta)^{|w_k| / \sum |w|}` over the constraints and :math:`U =
    \sum_j |w_j| u_j / \sum |w|` over the other terms, all in [0, 1] (arXiv 2603.10473; a fault counts as 1 minus its
    value). With ``smoothing: add`` it is :math:`b_k + \delta` instead of the maximum. One constraint of K that is 0
    leaves :math:`\delta^{1/K}` of the objectives, not nothing: of three with :math:`\delta = 10^{-3}` a tenth.
    :math:`\delta = 0` is a hard AND. Terms that are off on a row leave both means to the others, whose weights then add
    up to less; without a constraint :math:`B = 1`.
    """

    kind: Literal["gated"] = "gated"
    others_say: ClassVar = ("soft_and", "searchllm", "geometric", "gate")
    constraints: tuple[str, ...] = Field(min_length=1, description="terms that scale; the others are objectives")
    delta: float = Field(1e-3, ge=0, lt=1, description="what is left of a constraint that is 0")
    smoothing: Literal["floor", "add"] = Field("floor", description="floor: max(b, delta); add: b + delta")
    logs: ClassVar = ("constraint", "objective")

    def check(self, terms: Mapping[str, Weighed]) -> None:
        """Constraints are terms of [0, 1] with a weight, and leave an objective."""
        named(self, "constraints", self.constraints, terms)
        used = [name for name, one in terms.items() if one.weight != 0]
        merits_only(self, used, terms)
        for name in self.constraints:
            if self.constraints.count(name) > 1:
                raise problem_at(("aggregate", "constraints"), f"{name!r} is there twice; raise its weight instead")
            if name not in used:
                raise problem_at(
                    ("aggregate", "constraints"), f"{name!r} has weight 0, so it constrains nothing; give it another"
                )
        if not set(used) - set(self.constraints):
            raise problem_at(("aggregate", "constraints"), "all terms are constraints; leave at least one objective")

    def lacks(self, terms: Mapping[str, Weighed], on: Set[str]) -> str | None:
        """An objective."""
        left = [name for name in on if terms[name].weight and name not in self.constraints]
        return None if left else "no objective (a term with a weight that is no constraint)"

    def compose(self, scored: ScoredRows) -> Composed:
        """Rewards of [0, 1], or (1 + delta) with ``smoothing: add``; constraints' parts are their factors."""
        weights = {name: one.weight for name, one in scored.terms.items()}
        merits = {name: scored.merits(name) for name, weight in weights.items() if weight != 0}
        objectives = {name: column for name, column in merits.items() if name not in self.constraints}
        parts: dict[str, list[float]] = {name: [0.0] * len(scored.rows) for name in scored.terms}
        totals, bounds, means = [], [], []
        for row in scored.rows:
            limits = [name for name in self.constraints if scored.counts(name, row)]
            whole = math.fsum(abs(weights[name]) for name in limits)
            for name in limits:
                parts[name][row] = self._smooth(merits[name][row]) ** (abs(weights[name]) / whole)
            bound = math.prod(sorted(parts[name][row] for name in limits))
            counted = {name: column for name, column in objectives.items() if scored.counts(name, row)}
            shares = weighted_mean(counted, {name: weights[name] for name in counted}, row)
            for name, share in shares.items():
                parts[name][row] = bound * share
            means.append(math.fsum(shares.values()))
            bounds.append(bound)
            totals.append(bound * means[-1])
        return Composed(totals, parts, {"constraint": bounds, "objective": means})

    def reach(self, terms: Mapping[str, Weighed]) -> tuple[float, float]:
        """From nothing to everything."""
        return 0.0, 1.0 + self.delta if self.smoothing == "add" else 1.0

    def _smooth(self, merit: float) -> float:
        return merit + self.delta if self.smoothing == "add" else max(merit, self.delta)
