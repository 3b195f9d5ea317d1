"""Terms centred at one half."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from pgsrm_plugin.aggregates.base import Aggregate, Composed, ScoredRows, Weighed, merits_only


class Renorm(Aggregate):
    r"""The weighted sum of the merits, each less one half, so that half a success is worth nothing (PPR's ReNorm).

    :math:`R = \sum_k |w_k| (u_k - 1/2)`; of a process and an outcome reward :math:`r_p + r_o - 1` (arXiv 2509.25598).
    Against the sum it is a shift: an algorithm that subtracts the group's mean sees no difference. A term
    that is off on a row adds nothing.
    """

    kind: Literal["renorm"] = "renorm"
    others_say: ClassVar = ("ppr", "centred", "centered")
    only_shifts: ClassVar = True
    suits: ClassVar = "PPO without whitening of rewards; where a mean is subtracted, it changes nothing"

    def check(self, terms: Mapping[str, Weighed]) -> None:
        """All terms with a weight are of [0, 1]."""
        merits_only(self, [name for name, one in terms.items() if one.weight != 0], terms)

    def compose(self, scored: ScoredRows) -> Composed:
        """Rewards around 0."""
        parts = {
            name: [abs(one.weight) * (merit - 0.5) for merit in scored.merits(name, off=0.5)]
            if one.weight
            else [0.0 for _ in scored.rows]
            for name, one in scored.terms.items()
        }
        return Composed([math.fsum(part[row] for part in parts.values()) for row in scored.rows], parts)

    def reach(self, terms: Mapping[str, Weighed]) -> tuple[float, float]:
        """Half the weights on either side of 0."""
        half = math.fsum(abs(one.weight) for one in terms.values()) / 2
        return -half, half
