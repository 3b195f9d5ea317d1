"""REINFORCE with a learned baseline (Williams, 1992): the update rule of the PGSRM authors' public code.

One optimizer step a batch, no ratio, no clipping, no GAE, no whitening. The KL term stands in the loss with the k1
estimate, as it does there, where it has zero expected gradient on-policy: only its noise acts. It is here so that a
reward and an optimiser are not confused. Unlike there, the baseline of a token is the value before it (a value that has
read the response would bias the gradient), end-of-text is learned, and no pads stand between prompt and response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from pgsrm_lightning.algorithms.base import Algorithm, CriticConfig
from pgsrm_lightning.losses import kl_k1, reinforce_loss

if TYPE_CHECKING:
    from pgsrm_lightning.meter import Meter
    from pgsrm_lightning.policy import Evaluation
    from pgsrm_lightning.rollout.experience import Experience
    from pgsrm_plugin.types import RewardOutput


@dataclass(frozen=True, kw_only=True)
class ReinforceConfig(CriticConfig):
    """REINFORCE with a learned baseline, as in the PGSRM authors' public code: one optimizer step a batch.

    Its KL term stands in the loss and has zero expected gradient there; see
    :mod:`~pgsrm_lightning.algorithms.reinforce`.

    Attributes:
        kl: the coefficient of the KL term in the loss.
    """

    name: ClassVar[str] = "reinforce"
    epochs: ClassVar[int] = 1
    minibatches: ClassVar[int] = 1

    def build(self) -> Reinforce:
        """REINFORCE with these settings."""
        return Reinforce(self)


class Reinforce(Algorithm[ReinforceConfig]):
    """The score-function surrogate on what the value before a token fell short of."""

    logged = ("train/policy_loss", "train/value_loss")

    def targets(self, experience: Experience, output: RewardOutput, groups: list[int], kl_coef: float) -> Experience:
        """The response's reward is every token's return; its advantage is what the value before it fell short of.

        With credit, each token's own part is added to the advantage; the value learns the response's reward.
        """
        e = experience
        scores_B = output.total_B.to(e.logprobs_BT)
        returns_BT = torch.where(e.mask_BT, scores_B.unsqueeze(-1), 0.0)
        return e.with_targets(torch.where(e.mask_BT, e.credited(returns_BT - e.values_BT), 0.0), returns_BT)

    def loss(self, now: Evaluation, then: Experience, kl_coef: float, meter: Meter) -> Tensor:
        """The loss of each token, (B, T): policy + value_coef * value + kl_coef * k1 - entropy_coef * entropy."""
        c = self.config
        assert now.values_BT is not None
        policy_BT = then.weighted(reinforce_loss(now.logprobs_BT, then.advantages_BT))
        value_BT = 0.5 * (now.values_BT - then.returns_BT) ** 2
        with torch.no_grad():
            meter.add_masked("train/policy_loss", policy_BT, then.mask_BT)
            meter.add_masked("train/value_loss", value_BT, then.mask_BT)
        kl_BT = kl_k1(now.logprobs_BT, then.ref_logprobs_BT)
        return policy_BT + c.value_coef * value_BT + kl_coef * kl_BT - c.entropy_coef * now.entropy_BT
