"""How often the starting policy is beaten, softly (PAR)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.shapes.base import AgainstBaselines, Steepness, sigmoid
from pgsrm_plugin.shapes.baselines import Baseline


class Par(AgainstBaselines):
    r"""The mean sigmoid of the reward less each of the starting policy's rewards for the prompt (PAR).

    :math:`\frac{1}{M} \sum_m \sigma(k (r - r_m))` (arXiv 2502.18770), in (0, 1): 1/2 where the policy is as it was,
    steep there, and flat where the reward is far better, so that little is to be had by overdoing it.
    """

    kind: Literal["par"] = "par"
    others_say: ClassVar = ("preference_as_reward", "relative_sigmoid")
    suits: ClassVar = "PPO above all; where a group is compared only its curvature counts"
    k: Steepness = Field(10.0, description="steepness; the paper has 1, for logits of a reward model")

    def shaped(self, reward: float, baseline: Baseline | None) -> float:
        """A value of (0, 1)."""
        assert baseline is not None
        return math.fsum(sigmoid(self.k * (reward - one)) for one in baseline.scores) / len(baseline.scores)

    def reach(self, low: float, high: float) -> tuple[float, float]:
        """Where the policy was as good as can be, to where it was as bad as can be."""
        return sigmoid(self.k * (low - high)), sigmoid(self.k * (high - low))
