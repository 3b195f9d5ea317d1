"""Rewards in deviations of the starting policy's."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pgsrm_plugin.shapes.base import AgainstBaselines
from pgsrm_plugin.shapes.baselines import Baseline

_LEAST_STD = 1e-6


class MeanStd(AgainstBaselines):
    r"""The reward less the starting policy's mean reward over all prompts, in its standard deviations.

    :math:`(r - \mu) / s`, and :math:`r - \mu` where :math:`s \le 10^{-6}`. PAR's code (arXiv 2502.18770) has running
    statistics of the rewards seen so far; these are those of all baselines, as with ``clip``.
    """

    kind: Literal["meanstd"] = "meanstd"
    others_say: ClassVar = ("mean_std", "standardise", "standardize", "normalise", "normalize", "zscore")
    suits: ClassVar = "PPO; where a group's mean and deviation are taken out, it changes nothing"

    def shaped(self, reward: float, baseline: Baseline | None) -> float:
        """A number of deviations."""
        assert baseline is not None
        return (reward - baseline.mean) / (baseline.std if baseline.std > _LEAST_STD else 1.0)

    def reach(self, low: float, high: float) -> tuple[float, float]:
        """Anything: the deviation may be small."""
        return -math.inf, math.inf
