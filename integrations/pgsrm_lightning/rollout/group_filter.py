"""Groups whose rewards hardly differ, left out of the update (RLPR, arXiv 2506.18254)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pgsrm_lightning.advantages import group_rows
from pgsrm_lightning.config import GroupFilterConfig
from pgsrm_lightning.distributed import total, widest
from pgsrm_lightning.meter import Meter
from pgsrm_plugin import RewardOutput

KEPT, THRESHOLD = "train/groups_kept", "train/filter_threshold"
"""What is logged: the share of groups that are learned from, and the deviation that it takes."""


@dataclass(frozen=True)
class RunningDeviation:
    """What groups' deviations have been, over the steps so far.

    Attributes:
        mean: their running mean.
        steps: how many have been collected.
    """

    mean: float = 0.0
    steps: int = 0

    def after(self, step_mean: float, step: int, config: GroupFilterConfig) -> RunningDeviation:
        """With one more step's mean deviation; ``step`` counts from 0.

        As RLPR has it: the mean of what is collected, until filtering begins; then it moves by 1 - ema a step.

        >>> config = GroupFilterConfig(beta=0.5, ema=0.99, collect_after=5, filter_after=10)
        >>> round(RunningDeviation(0.2, 6).after(0.4, 10, config).mean, 12)
        0.202
        >>> round(RunningDeviation(0.2, 1).after(0.4, 6, config).mean, 12)
        0.3
        >>> RunningDeviation().after(0.4, 4, config).steps
        0
        """
        if step < config.collect_after:
            return self
        collecting = step < config.filter_after or self.steps == 0
        share = 1.0 / (self.steps + 1) if collecting else 1.0 - config.ema
        return RunningDeviation(self.mean + share * (step_mean - self.mean), self.steps + 1)

    def threshold(self, step: int, config: GroupFilterConfig) -> float:
        """The least deviation of a group that is learned from; 0 before filtering begins."""
        return config.beta * self.mean if step >= config.filter_after and self.steps else 0.0


class GroupFilter(nn.Module):
    """Leaves groups out of a step. Its state goes into checkpoints."""

    def __init__(self, config: GroupFilterConfig) -> None:
        super().__init__()
        self.config = config
        self.running = self._next = RunningDeviation()

    def forward(self, output: RewardOutput, groups: Sequence[int], step: int, meter: Meter) -> RewardOutput:
        """The output, in which the rows of groups that teach too little count as not scored.

        A group of one scored row has no deviation: it is neither counted nor left out. The threshold is that of the
        steps before; :meth:`commit` takes this one in, when it is done.
        """
        rows = [members for members in group_rows(groups, output.scored_B) if len(members) > 1]
        deviations = [float(output.rewards[members].std(correction=0)) for members in rows]
        table = torch.tensor([sum(deviations), len(deviations)], dtype=widest(meter.device), device=meter.device)
        summed, count = total(table).tolist()
        self._next = self.running.after(summed / count, step, self.config) if count else self.running
        least = self.running.threshold(step, self.config)
        kept_B: Tensor = output.scored_B.clone()
        for members, deviation in zip(rows, deviations, strict=True):
            kept_B[members] &= deviation >= least
        meter.add(KEPT, sum(deviation >= least for deviation in deviations), len(deviations))
        meter.add(THRESHOLD, least)
        return replace(output, scored_B=kept_B)

    def commit(self) -> None:
        """Takes the step in that was looked at last."""
        self.running = self._next

    def get_extra_state(self) -> dict[str, float]:
        """For a checkpoint."""
        return {"mean": self.running.mean, "steps": float(self.running.steps)}

    def set_extra_state(self, state: dict[str, float]) -> None:
        """From a checkpoint."""
        self.running = self._next = RunningDeviation(state["mean"], int(state["steps"]))
