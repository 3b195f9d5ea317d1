"""How much better than the starting policy."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pgsrm_plugin.shapes.base import AgainstBaselines
from pgsrm_plugin.shapes.baselines import Baseline


class Centered(AgainstBaselines):
    r"""The reward less the mean of the starting policy's rewards for the prompt.

    :math:`r - \frac{1}{M} \sum_m r_m`, a rival of PAR in its code (arXiv 2502.18770).
    """

    kind: Literal["centered"] = "centered"
    others_say: ClassVar = ("centred", "centering")
    only_shifts: ClassVar = True
    suits: ClassVar = "PPO; where a mean is subtracted, it changes nothing"

    def shaped(self, reward: float, baseline: Baseline | None) -> float:
        """The difference of the rewards."""
        assert baseline is not None
        return math.fsum(reward - one for one in baseline.scores) / len(baseline.scores)

    def reach(self, low: float, high: float) -> tuple[float, float]:
        """The greatest difference either way."""
        return low - high, high - low
