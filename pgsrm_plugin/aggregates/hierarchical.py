"""Aspects that count only where the whole is good enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.aggregates.base import Aggregate, Composed, ScoredRows, Weighed, always_on, merits_only, named
from pgsrm_plugin.section import problem_at


class Hierarchical(Aggregate):
    r"""A holistic term first; the aspects are paid from a threshold of it on (ALaRM).

    :math:`R = w_h h + [h \ge \theta] \sum_k |w_k| u_k` (arXiv 2403.06754), where :math:`w_h` is the holistic term's
    weight and :math:`u_k` an aspect's merit in [0, 1] (a fault counts as 1 minus its value, so that crossing the
    threshold never costs). With ``soft`` the step is :math:`\sigma((h - \theta) / \tau)`. An aspect that is off on a
    row adds nothing; the holistic term is never off.
    """

    kind: Literal["hierarchical"] = "hierarchical"
    others_say: ClassVar = ("alarm",)
    holistic: str = Field(description="the term that comes first")
    threshold: float = Field(description="from which value of it on aspects count")
    soft: float | None = Field(None, gt=0, description="tau: a sigmoid of this width instead of a step")
    logs: ClassVar = ("open",)

    def check(self, terms: Mapping[str, Weighed]) -> None:
        """The holistic term is one of positive weight, and its values reach the threshold."""
        named(self, "holistic", [self.holistic], terms)
        always_on(self, "holistic", self.holistic, terms)
        first = terms[self.holistic]
        if first.weight <= 0:
            raise problem_at(
                ("aggregate", "holistic"),
                f"{self.holistic!r} has weight {first.weight:g}; what comes first needs one above 0",
            )
        low, high = first.term.bounds
        if not low < self.threshold <= high:
            raise problem_at(
                ("aggregate", "threshold"),
                f"{self.threshold:g} is not above {low:g} and at most {high:g}, the ends of {self.holistic!r}",
            )
        aspects = [name for name, one in terms.items() if name != self.holistic and one.weight != 0]
        if not aspects:
            raise problem_at(("aggregate",), f"no term but {self.holistic!r} has a weight; use aggregate: sum")
        merits_only(self, aspects, terms)

    def compose(self, scored: ScoredRows) -> Composed:
        """Rewards, with how far the aspects counted, in [0, 1]."""
        first = scored.terms[self.holistic]
        opened = [self._open(value) for value in scored.values[self.holistic]]
        parts = {}
        for name, one in scored.terms.items():
            if name == self.holistic:
                parts[name] = [first.weight * value for value in scored.values[name]]
            else:
                merits = scored.merits(name) if one.weight else [0.0 for _ in scored.rows]
                parts[name] = [gate * abs(one.weight) * merit for gate, merit in zip(opened, merits, strict=True)]
        totals = [math.fsum(part[row] for part in parts.values()) for row in scored.rows]
        return Composed(totals, parts, {"open": opened})

    def reach(self, terms: Mapping[str, Weighed]) -> tuple[float, float]:
        """From the worst whole to the best one with every aspect."""
        first = terms[self.holistic]
        low, high = (first.weight * bound for bound in first.term.bounds)
        return low, high + math.fsum(abs(one.weight) for name, one in terms.items() if name != self.holistic)

    def _open(self, value: float) -> float:
        if self.soft is None:
            return float(value >= self.threshold)
        # tanh does not overflow, as exp would: sigmoid(x) = (1 + tanh(x / 2)) / 2
        return (1.0 + math.tanh((value - self.threshold) / (2.0 * self.soft))) / 2.0
