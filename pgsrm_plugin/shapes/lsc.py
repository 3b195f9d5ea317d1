"""The log of how surely a high quantile of the starting policy is beaten (LSC)."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.shapes.base import AgainstBaselines, Steepness, log_sigmoid
from pgsrm_plugin.shapes.baselines import Baseline

_LEAST_STD = 1e-5


class Lsc(AgainstBaselines):
    r"""The log-sigmoid of the reward less a quantile of the starting policy's rewards for the prompt (LSC).

    :math:`\log \sigma(k (r - q))` with the normal quantile :math:`q = \mu + z_p (s + 10^{-5})` of the prompt's
    baselines (mean, population deviation), as PAR's code has its rival (arXiv 2502.18770; the transformation is of
    arXiv 2402.00742). Below 0: a response that is bad costs much, one that is good earns little more.
    """

    kind: Literal["lsc"] = "lsc"
    others_say: ClassVar = ("log_sigmoid", "log_sigmoid_centered")
    suits: ClassVar = "PPO above all; where a group is compared only its curvature counts"
    k: Steepness = Field(10.0, description="steepness; the paper has 1, for logits of a reward model")
    quantile: float = Field(0.85, gt=0, lt=1, description="of the starting policy's rewards, taken as normal")

    def shaped(self, reward: float, baseline: Baseline | None) -> float:
        """A value below 0."""
        assert baseline is not None
        mean = math.fsum(baseline.scores) / len(baseline.scores)
        std = math.sqrt(math.fsum((one - mean) ** 2 for one in baseline.scores) / len(baseline.scores))
        return log_sigmoid(self.k * (reward - mean - self._z * (std + _LEAST_STD)))

    def reach(self, low: float, high: float) -> tuple[float, float]:
        """By the mean and the deviation that baselines could have at most."""
        spread = abs(self._z) * ((high - low) / 2 + _LEAST_STD)
        return log_sigmoid(self.k * (low - high - spread)), log_sigmoid(self.k * (high - low + spread))

    @property
    def _z(self) -> float:
        return NormalDist().inv_cdf(self.quantile)
