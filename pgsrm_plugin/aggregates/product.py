"""The product of the terms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from pgsrm_plugin.aggregates.base import Aggregate, Composed, ScoredRows, Weighed, merits_only


class Product(Aggregate):
    r"""The product of all merits, each to the power of its weight: :math:`\prod_k u_k^{|w_k|}` (R3).

    R3 (arXiv 2402.03469) multiplies relevance, a length incentive and one minus repetition. A fault counts as 1 minus
    its value. One 0 makes the whole 0, and a group of zeros teaches nothing: ``zero`` logs the rows it befell.
    A term that is off on a row is no factor of it.
    """

    kind: Literal["product"] = "product"
    others_say: ClassVar = ("multiply", "mul", "r3")
    logs: ClassVar = ("zero",)

    def check(self, terms: Mapping[str, Weighed]) -> None:
        """All terms with a weight are of [0, 1]."""
        merits_only(self, [name for name, one in terms.items() if one.weight != 0], terms)

    def compose(self, scored: ScoredRows) -> Composed:
        """Rewards of [0, 1]; the parts are the factors."""
        factors = {
            name: [merit ** abs(one.weight) for merit in scored.merits(name, off=1.0)]
            if one.weight
            else [1.0] * len(scored.rows)
            for name, one in scored.terms.items()
        }
        totals = [math.prod(sorted(column[row] for column in factors.values())) for row in scored.rows]
        return Composed(totals, factors, {"zero": [float(total == 0) for total in totals]})

    def reach(self, terms: Mapping[str, Weighed]) -> tuple[float, float]:
        """From 0 to 1."""
        return 0.0, 1.0
