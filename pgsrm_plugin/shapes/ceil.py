"""Rewards up to a ceiling."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.shapes.base import Shape
from pgsrm_plugin.shapes.baselines import Baseline


class Ceil(Shape):
    r"""The reward, but no more than a ceiling: :math:`\min(r, c)`.

    A rival of PAR in its code (arXiv 2502.18770). Above the ceiling nothing is learned, and nothing overdone.
    """

    kind: Literal["ceil"] = "ceil"
    others_say: ClassVar = ("ceiling", "cap", "max")
    at: float = Field(description="c: what no reward goes beyond")

    def shaped(self, reward: float, baseline: Baseline | None) -> float:
        """The lesser of the two."""
        return min(reward, self.at)

    def reach(self, low: float, high: float) -> tuple[float, float]:
        """Up to the ceiling."""
        return min(low, self.at), min(high, self.at)
