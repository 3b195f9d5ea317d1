"""REINFORCE with a learned baseline: the update rule of the PGSRM authors' public code.

One optimizer step a batch, no ratio, no clipping, no GAE, no whitening. The KL term stands in the loss with the k1
estimate, as it does there, where it has zero expected gradient on-policy: only its noise acts. It is here so that a
reward and an optimiser are not confused. Unlike there, the baseline of a token is the value before it (a value that has
read the response would bias the gradient), end-of-text is learned, and no pads stand between prompt and response.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgsrm_lightning.advantages import explained_variance
from pgsrm_lightning.config import ReinforceConfig
from pgsrm_lightning.distributed import total
from pgsrm_lightning.losses import kl_k1, reinforce_loss
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Evaluation
from pgsrm_lightning.rollout.experience import Experience
from pgsrm_plugin.types import RewardOutput


class Reinforce:
    """Turns rewards into advantages and advantages into a loss; keeps no state."""

    logged = ("train/policy_loss", "train/value_loss")
    uses_values = True

    def __init__(self, config: ReinforceConfig) -> None:
        self.config = config

    def targets(
        self, experience: Experience, output: RewardOutput, groups: list[str | int], kl_coef: float
    ) -> Experience:
        """The response's reward is every token's return; its advantage is what the value before it fell short of."""
        e = experience
        scores_B = output.total_B.to(e.logprobs_BT)
        returns_BT = torch.where(e.mask_BT, scores_B.unsqueeze(-1), 0.0)
        return e.with_targets(torch.where(e.mask_BT, returns_BT - e.values_BT, 0.0), returns_BT)

    def measure(self, experience: Experience, meter: Meter) -> None:
        """Adds what only an algorithm with a critic logs about a rollout."""
        explained = explained_variance(experience.values_BT, experience.returns_BT, experience.mask_BT, total)
        meter.add("train/explained_variance", explained)

    def loss(self, now: Evaluation, then: Experience, kl_coef: float, meter: Meter) -> Tensor:
        """The loss of each token, (B, T): policy + value_coef * value + kl_coef * k1 - entropy_coef * entropy."""
        c = self.config
        assert now.values_BT is not None
        policy_BT = reinforce_loss(now.logprobs_BT, then.advantages_BT)
        value_BT = 0.5 * (now.values_BT - then.returns_BT) ** 2
        with torch.no_grad():
            meter.add_masked("train/policy_loss", policy_BT, then.mask_BT)
            meter.add_masked("train/value_loss", value_BT, then.mask_BT)
        kl_BT = kl_k1(now.logprobs_BT, then.ref_logprobs_BT)
        return policy_BT + c.value_coef * value_BT + kl_coef * kl_BT - c.entropy_coef * now.entropy_BT
