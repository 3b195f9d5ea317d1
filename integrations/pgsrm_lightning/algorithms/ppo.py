"""Proximal policy optimisation (arXiv 1707.06347) with a value head.

What the PGSRM authors' public code calls PPO is one REINFORCE-with-baseline step a batch. This one has the clipped
ratio, GAE, several epochs of minibatches and whitened advantages. Its KL penalty stands in the token rewards, where it
has an effect on-policy (as a loss term, the k1 estimate has zero expected gradient there). End-of-text is learned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgsrm_lightning.advantages import explained_variance, gae, token_rewards, whiten
from pgsrm_lightning.config import PPOConfig
from pgsrm_lightning.distributed import total
from pgsrm_lightning.losses import clipped_policy_loss, clipped_value_loss, is_clipped
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Evaluation
from pgsrm_lightning.rollout.experience import Experience
from pgsrm_plugin.types import RewardOutput


class PPO:
    """Turns rewards into advantages and advantages into a loss; keeps no state."""

    logged = ("train/policy_loss", "train/value_loss", "train/clip_fraction")
    uses_values = True

    def __init__(self, config: PPOConfig) -> None:
        self.config = config

    def targets(
        self, experience: Experience, output: RewardOutput, groups: list[str | int], kl_coef: float
    ) -> Experience:
        """GAE over token rewards with the KL penalty; the advantages are whitened over all processes' tokens."""
        e = experience
        scores_B = output.total_B.to(e.logprobs_BT)
        rewards_BT = token_rewards(scores_B, e.logprobs_BT, e.ref_logprobs_BT, e.mask_BT, kl_coef)
        advantages_BT, returns_BT = gae(rewards_BT, e.values_BT, e.mask_BT, self.config.gamma, self.config.gae_lambda)
        return e.with_targets(whiten(advantages_BT, e.mask_BT, total), returns_BT)

    def measure(self, experience: Experience, meter: Meter) -> None:
        """Adds what only this algorithm logs about a rollout."""
        explained = explained_variance(experience.values_BT, experience.returns_BT, experience.mask_BT, total)
        meter.add("train/explained_variance", explained)

    def loss(self, now: Evaluation, then: Experience, kl_coef: float, meter: Meter) -> Tensor:
        """The loss of each token, (B, T): policy + value_coef * value - entropy_coef * entropy."""
        c = self.config
        assert now.values_BT is not None
        policy_BT = clipped_policy_loss(now.logprobs_BT, then.logprobs_BT, then.advantages_BT, c.clip)
        value_BT = clipped_value_loss(now.values_BT, then.values_BT, then.returns_BT, c.value_clip)
        with torch.no_grad():
            clipped_BT = is_clipped(now.logprobs_BT, then.logprobs_BT, then.advantages_BT, c.clip)
            meter.add_masked("train/policy_loss", policy_BT, then.mask_BT)
            meter.add_masked("train/value_loss", value_BT, then.mask_BT)
            meter.add_masked("train/clip_fraction", clipped_BT, then.mask_BT)
        return policy_BT + c.value_coef * value_BT - c.entropy_coef * now.entropy_BT
