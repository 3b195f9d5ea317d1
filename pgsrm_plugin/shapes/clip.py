"""Rewards within a deviation of the starting policy's."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.shapes.base import AgainstBaselines
from pgsrm_plugin.shapes.baselines import Baseline


class Clip(AgainstBaselines):
    r"""The reward, cut to within some deviations of the starting policy's mean reward over all prompts.

    :math:`\min(\max(r, \mu - c s), \mu + c s)`. PAR's code (arXiv 2502.18770) has running statistics of the rewards
    seen so far, which depend on the order of batches and workers; these are those of all baselines, so that a row's
    reward is the same on every way to it.
    """

    kind: Literal["clip"] = "clip"
    others_say: ClassVar = ("clipping",)
    deviations: float = Field(1.0, gt=0, le=100, description="c: how many standard deviations either way")

    def shaped(self, reward: float, baseline: Baseline | None) -> float:
        """A value within the deviations."""
        assert baseline is not None
        width = self.deviations * baseline.std
        return min(max(reward, baseline.mean - width), baseline.mean + width)

    def reach(self, low: float, high: float) -> tuple[float, float]:
        """That of the rewards: what is cut lies between the reward and the mean."""
        return low, high
