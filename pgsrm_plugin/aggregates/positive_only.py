"""A second reward for right answers only (C-GRPO)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.aggregates.base import (
    Aggregate,
    Composed,
    ScoredRows,
    Weighed,
    always_on,
    merits_only,
    named,
    weights_unused,
)
from pgsrm_plugin.section import problem_at


class PositiveOnly(Aggregate):
    r"""A primary term, and a share of a secondary one that only primary success earns (CaRR's C-GRPO).

    :math:`R = (1 - a) p + a p s / \max_{\mathrm{group}} s` (arXiv 2601.06021), in [0, 1]. The authors' code uses the
    raw :math:`s`, which ``normalise: none`` gives and which needs no groups; so does a group whose greatest is 0.
    Where the secondary term is off, :math:`R = p`; the primary one is never off. Shares are said by ``ratio``: both
    terms have weight 1, or -1 where more is worse.
    """

    kind: Literal["positive_only"] = "positive_only"
    others_say: ClassVar = ("cgrpo", "c_grpo", "carr")
    primary: str = Field(description="the term that must succeed, correctness say")
    secondary: str = Field(description="the term that tells successes apart, claims say")
    ratio: float = Field(0.3, gt=0, lt=1, description="a: the share of the secondary term")
    normalise: Literal["none", "group_max"] = Field("group_max", description="what divides the secondary term")
    suits: ClassVar = "GRPO and others that compare a group; with normalise: none any algorithm"

    @property
    def needs_groups(self) -> bool:
        """Whether the secondary term is divided by its group's greatest value."""
        return self.normalise == "group_max"

    def alone(self) -> Aggregate:
        """The authors' code: without the group's greatest value."""
        return self.model_copy(update={"normalise": "none"})

    def check(self, terms: Mapping[str, Weighed]) -> None:
        """Two different terms of [0, 1], of weight 1 or -1; all others have weight 0."""
        named(self, "primary", [self.primary], terms)
        named(self, "secondary", [self.secondary], terms)
        if self.primary == self.secondary:
            raise problem_at(("aggregate", "secondary"), f"it is the primary term itself: {self.primary!r}")
        always_on(self, "primary", self.primary, terms)
        merits_only(self, [self.primary, self.secondary], terms)
        for key, name in (("primary", self.primary), ("secondary", self.secondary)):
            if abs(terms[name].weight) != 1:
                raise problem_at(
                    ("weights", name),
                    f"aggregate: {self.kind} takes the shares of its terms from `ratio`, so the weight of its {key} "
                    f"term is 1 (-1 where more is worse), not {terms[name].weight:g}",
                )
        weights_unused(self, [self.primary, self.secondary], terms, "composes two terms, and this is another")

    def compose(self, scored: ScoredRows) -> Composed:
        """Rewards of [0, 1]."""
        first, second = scored.merits(self.primary), scored.merits(self.secondary)
        if self.needs_groups:
            for members in scored.members(self.secondary):
                most = max(second[row] for row in members)
                for row in members:
                    second[row] = second[row] / most if most > 0 else second[row]
        parts = {name: [0.0] * len(scored.rows) for name in scored.terms}
        ratios = [self.ratio if scored.counts(self.secondary, row) else 0.0 for row in scored.rows]
        parts[self.primary] = [(1.0 - ratio) * value for ratio, value in zip(ratios, first, strict=True)]
        parts[self.secondary] = [self.ratio * value * more for value, more in zip(first, second, strict=True)]
        totals = [one + two for one, two in zip(parts[self.primary], parts[self.secondary], strict=True)]
        return Composed(totals, parts)

    def reach(self, terms: Mapping[str, Weighed]) -> tuple[float, float]:
        """From failure to the best success."""
        return 0.0, 1.0
