"""What is done to rewards before they are learned from, by what the run itself has seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pgsrm_lightning.algorithms import AlgorithmConfig
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import Rollout
from pgsrm_lightning.rollout.group_filter import GroupFilter
from pgsrm_lightning.rollout.learned_weights import LearnedWeights
from pgsrm_plugin import RewardOutput, RewardSpec


class Steering(nn.Module):
    """Learned weights, then the filter of groups, as far as the algorithm's settings have them.

    What they learn goes into checkpoints, and changes when a whole step is done.

    Raises:
        SpecError: the spec has no weights to learn.
    """

    def __init__(self, config: AlgorithmConfig, spec: RewardSpec, policy: Policy) -> None:
        super().__init__()
        chosen, hidden_size = config.learned_weights, policy.lm.config.get_text_config().hidden_size
        self.weights = None if chosen is None else LearnedWeights(chosen, spec, hidden_size)
        self.filter = None if config.group_filter is None else GroupFilter(config.group_filter)

    def forward(
        self,
        output: RewardOutput,
        groups: Sequence[int],
        rollout: Rollout,
        parts: Sequence[Tensor],
        policy: Policy,
        step: int,
        seed: int,
        meter: Meter,
    ) -> RewardOutput:
        """The rewards that are learned from.

        Args:
            groups: the number of each row's group.
            parts: the rows that go through the policy at once.
            step: counts from 0.
        """
        if self.weights is not None:
            output = self.weights(output, groups, _states(rollout, parts, policy), seed, meter)
        return output if self.filter is None else self.filter(output, groups, step, meter)

    def commit(self, step: int) -> None:
        """Takes the step in that was looked at last."""
        if self.weights is not None:
            self.weights.commit(step)
        if self.filter is not None:
            self.filter.commit()


def _states(rollout: Rollout, parts: Sequence[Tensor], policy: Policy) -> Tensor:
    """The policy's last hidden state of each row, (B, D)."""
    width = rollout.mask_BT.shape[1]
    states = [policy.last_states(rollout.tokens_BS[part], rollout.attention_BS[part], width) for part in parts]
    order = torch.cat([*parts]).argsort()
    return torch.cat(states)[order.to(states[0].device)]
