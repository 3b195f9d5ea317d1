"""Group relative policy optimisation (DeepSeekMath, arXiv 2402.03300): no critic, advantages within a prompt's group.

The KL penalty stands in the loss with the k3 estimator, which is never negative. The loss is the mean over all tokens
of a minibatch, not a mean of the responses' means, so a long response's tokens weigh as much as a short one's (DAPO,
arXiv 2503.14476).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from pgsrm_lightning.advantages import group_advantages, standardised
from pgsrm_lightning.algorithms.base import ClippedAlgorithm, ClippedConfig, KLConfig
from pgsrm_lightning.config import GroupFilterConfig, GuidanceConfig, LearnedWeightsConfig, bounded
from pgsrm_lightning.distributed import total
from pgsrm_lightning.losses import kl_k3
from pgsrm_plugin.errors import SpecError

if TYPE_CHECKING:
    from pgsrm_lightning.meter import Meter
    from pgsrm_lightning.policy import Evaluation
    from pgsrm_lightning.rollout.experience import Experience
    from pgsrm_plugin.types import RewardOutput


@dataclass(frozen=True, kw_only=True)
class GRPOConfig(ClippedConfig):
    """Group relative policy optimisation, without a value head (DeepSeekMath, arXiv 2402.03300).

    Attributes:
        group_size: responses sampled for each prompt; their rewards are compared with one another.
        noise: a group whose rewards' standard deviation is at most this has advantage exactly 0.
        kl: the KL penalty, added to the loss with the k3 estimator.
        filter: leave out groups whose rewards hardly differ, by RLPR's rule; None: none.
        guidance: let some responses go on from the beginning of a reference, as G2RPO-A does; None: none.
        weights: learn which term counts most in which response, as MAESTRO does; None: the spec's weights count.
    """

    name: ClassVar[str] = "grpo"
    takes_advantages: ClassVar[bool] = True
    from_rewards: ClassVar[bool] = True
    group_size: int = bounded(8, at_least=2)
    noise: float = bounded(1e-6, at_least=0)
    epochs: int = bounded(1, at_least=1)
    minibatches: int = bounded(1, at_least=1)
    entropy_coef: float = bounded(0.0, at_least=0)
    kl: KLConfig = field(default_factory=lambda: KLConfig(coef=0.04, schedule="fixed"))
    filter: GroupFilterConfig | None = None
    weights: LearnedWeightsConfig | None = None
    guidance: GuidanceConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.guidance is not None and self.group_size - self.guidance.guided(self.group_size) < 2:
            raise SpecError(
                f"GRPOConfig.guidance: of {self.group_size} responses to a prompt "
                f"{self.guidance.guided(self.group_size)} go on from a reference, and each kind is compared with its "
                "own, so two of each are needed; raise group_size, or lower share"
            )

    @property
    def guides(self) -> GuidanceConfig | None:
        """See :class:`AlgorithmConfig`."""
        return self.guidance

    @property
    def group_filter(self) -> GroupFilterConfig | None:
        """See :class:`AlgorithmConfig`."""
        return self.filter

    @property
    def learned_weights(self) -> LearnedWeightsConfig | None:
        """See :class:`AlgorithmConfig`."""
        return self.weights

    def build(self) -> GRPO:
        """GRPO with these settings."""
        return GRPO(self)


class GRPO(ClippedAlgorithm[GRPOConfig]):
    """The clipped surrogate on advantages within groups, and the KL to the reference."""

    logged = ("train/policy_loss", "train/clip_fraction")

    def targets(self, experience: Experience, output: RewardOutput, groups: list[int], kl_coef: float) -> Experience:
        """The response's advantage, on each of its tokens: within its group, or as the spec has made it already.

        With credit, each token's own part is added to it.

        With ``aggregate: group_normalised`` the terms are normalised within the group; only their sum is, over the
        rows of all processes, and not within the group again, which would undo it (GDPO, arXiv 2601.05242).
        """
        like_BT = experience.logprobs_BT
        if output.unnormalised_B is None:
            advantages_B = group_advantages(output.total_B, groups, output.scored_B, self.config.noise).to(like_BT)
        else:
            summed_B = torch.stack([*output.weighted.values()]).sum(0).to(like_BT)
            advantages_B = standardised(summed_B, output.scored_B.to(like_BT.device), total)
        return experience.with_targets(experience.credited(advantages_B.unsqueeze(-1).expand_as(like_BT)))

    def loss(self, now: Evaluation, then: Experience, kl_coef: float, meter: Meter) -> Tensor:
        """The loss of each token, (B, T): policy + kl_coef * k3 - entropy_coef * entropy."""
        policy_BT = self.clipped_policy(now, then, meter)
        kl_BT = kl_k3(now.logprobs_BT, then.ref_logprobs_BT)
        return policy_BT + kl_coef * kl_BT - self.config.entropy_coef * now.entropy_BT
