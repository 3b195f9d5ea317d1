"""Proximal policy optimisation (Schulman et al., arXiv 1707.06347) with a value head.

What the PGSRM authors' public code calls PPO is one REINFORCE-with-baseline step a batch. This one has the clipped
ratio, GAE, several epochs of minibatches and whitened advantages. Its KL penalty stands in the token rewards, where it
has an effect on-policy (as a loss term, the k1 estimate has zero expected gradient there). End-of-text is learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from pgsrm_lightning.advantages import gae, moments, token_rewards, whiten
from pgsrm_lightning.algorithms.base import ClippedAlgorithm, ClippedConfig, CriticConfig
from pgsrm_lightning.config import bounded
from pgsrm_lightning.distributed import total, widest
from pgsrm_lightning.losses import clipped_value_loss

if TYPE_CHECKING:
    from pgsrm_lightning.meter import Meter
    from pgsrm_lightning.policy import Evaluation
    from pgsrm_lightning.rollout.experience import Experience
    from pgsrm_plugin.types import RewardOutput


@dataclass(frozen=True, kw_only=True)
class PPOConfig(ClippedConfig, CriticConfig):
    """Proximal policy optimisation with a value head (Schulman et al., arXiv 1707.06347).

    Attributes:
        value_clip: the value stays within this distance of the value at rollout.
        gamma, gae_lambda: discount and GAE's bias-variance trade-off, per token.
        kl: the KL penalty, taken from the reward of each token.
    """

    name: ClassVar[str] = "ppo"
    value_clip: float = bounded(0.2, above=0)
    gamma: float = bounded(1.0, at_least=0, at_most=1)
    gae_lambda: float = bounded(0.95, at_least=0, at_most=1)

    def build(self) -> PPO:
        """PPO with these settings."""
        return PPO(self)


class PPO(ClippedAlgorithm[PPOConfig]):
    """The clipped surrogate on whitened GAE, beside a clipped value loss."""

    logged = ("train/policy_loss", "train/value_loss", "train/clip_fraction")

    def targets(self, experience: Experience, output: RewardOutput, groups: list[int], kl_coef: float) -> Experience:
        """GAE over token rewards with the KL penalty, whitened over all processes' tokens as far as rewards vary.

        With credit, each token is rewarded with its own part, too: the parts of a response add up to 0.
        """
        e = experience
        scores_B = output.total_B.to(e.logprobs_BT)
        rewards_BT = e.credited(token_rewards(scores_B, e.logprobs_BT, e.ref_logprobs_BT, e.mask_BT, kl_coef))
        advantages_BT, returns_BT = gae(rewards_BT, e.values_BT, e.mask_BT, self.config.gamma, self.config.gae_lambda)
        device = e.mask_BT.device
        _, variance = moments(output.total_B.to(device, widest(device)), output.scored_B.to(device), total)
        return e.with_targets(whiten(advantages_BT, e.mask_BT, variance.sqrt(), total), returns_BT)

    def loss(self, now: Evaluation, then: Experience, kl_coef: float, meter: Meter) -> Tensor:
        """The loss of each token, (B, T): policy + value_coef * value - entropy_coef * entropy."""
        c = self.config
        assert now.values_BT is not None
        policy_BT = self.clipped_policy(now, then, meter)
        value_BT = clipped_value_loss(now.values_BT, then.values_BT, then.returns_BT, c.value_clip)
        with torch.no_grad():
            meter.add_masked("train/value_loss", value_BT, then.mask_BT)
        return policy_BT + c.value_coef * value_BT - c.entropy_coef * now.entropy_BT
