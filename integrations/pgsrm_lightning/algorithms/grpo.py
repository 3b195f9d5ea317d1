"""Group relative policy optimisation (DeepSeekMath, arXiv 2402.03300): no critic, advantages within a prompt's group.

The KL penalty stands in the loss with the k3 estimator, which is never negative. The loss is the mean over all tokens
of a minibatch, not a mean of the responses' means, so a long response's tokens weigh as much as a short one's (DAPO,
arXiv 2503.14476).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgsrm_lightning.advantages import group_advantages
from pgsrm_lightning.config import GRPOConfig
from pgsrm_lightning.losses import clipped_policy_loss, is_clipped, kl_k3
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Evaluation
from pgsrm_lightning.rollout.experience import Experience
from pgsrm_plugin.types import RewardOutput


class GRPO:
    """Turns rewards into advantages and advantages into a loss; keeps no state."""

    logged = ("train/policy_loss", "train/clip_fraction")
    uses_values = False

    def __init__(self, config: GRPOConfig) -> None:
        self.config = config

    def targets(
        self, experience: Experience, output: RewardOutput, groups: list[str | int], kl_coef: float
    ) -> Experience:
        """The response's advantage within its group, on each of its tokens."""
        advantages_B = group_advantages(output.total_B, groups, output.scored_B, self.config.noise)
        advantages_B = advantages_B.to(experience.logprobs_BT)
        return experience.with_targets(advantages_B.unsqueeze(-1).expand_as(experience.logprobs_BT))

    def measure(self, experience: Experience, meter: Meter) -> None:
        """Nothing beyond what every algorithm logs: there is no critic."""

    def loss(self, now: Evaluation, then: Experience, kl_coef: float, meter: Meter) -> Tensor:
        """The loss of each token, (B, T): policy + kl_coef * k3 - entropy_coef * entropy."""
        c = self.config
        policy_BT = clipped_policy_loss(now.logprobs_BT, then.logprobs_BT, then.advantages_BT, c.clip)
        kl_BT = kl_k3(now.logprobs_BT, then.ref_logprobs_BT)
        with torch.no_grad():
            clipped_BT = is_clipped(now.logprobs_BT, then.logprobs_BT, then.advantages_BT, c.clip)
            meter.add_masked("train/policy_loss", policy_BT, then.mask_BT)
            meter.add_masked("train/clip_fraction", clipped_BT, then.mask_BT)
        return policy_BT + kl_coef * kl_BT - c.entropy_coef * now.entropy_BT
