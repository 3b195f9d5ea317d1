"""How much better than the starting policy, bounded."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.shapes.base import AgainstBaselines, Steepness
from pgsrm_plugin.shapes.baselines import Baseline


class Tanh(AgainstBaselines):
    r"""The mean hyperbolic tangent of the reward less each of the starting policy's rewards for the prompt.

    :math:`\frac{1}{M} \sum_m \tanh(k (r - r_m))`, a rival of PAR in its code (arXiv 2502.18770), in (-1, 1). It is
    twice PAR's with a steepness of :math:`2 k`, less 1.
    """

    kind: Literal["tanh"] = "tanh"
    others_say: ClassVar = ("relative_tanh",)
    suits: ClassVar = "PPO above all; where a group is compared only its curvature counts"
    k: Steepness = Field(5.0, description="steepness; the rival of PAR has 1, for logits of a reward model")

    def shaped(self, reward: float, baseline: Baseline | None) -> float:
        """A value of (-1, 1)."""
        assert baseline is not None
        return math.fsum(math.tanh(self.k * (reward - one)) for one in baseline.scores) / len(baseline.scores)

    def reach(self, low: float, high: float) -> tuple[float, float]:
        """Where the policy was as good as can be, to where it was as bad as can be."""
        most = math.tanh(self.k * (high - low))
        return -most, most
