"""What an algorithm is: settings that build it, targets and a loss; and what several of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor

from pgsrm_lightning.advantages import explained_variance
from pgsrm_lightning.config import GroupFilterConfig, GuidanceConfig, LearnedWeightsConfig, Settings, bounded
from pgsrm_lightning.distributed import total
from pgsrm_lightning.losses import clipped_policy_loss, is_clipped
from pgsrm_plugin.errors import SpecError

if TYPE_CHECKING:  # commands read settings without loading transformers
    from pgsrm_lightning.meter import Meter
    from pgsrm_lightning.policy import Evaluation, Policy
    from pgsrm_lightning.rollout.experience import Experience
    from pgsrm_plugin.types import RewardOutput


@dataclass(frozen=True)
class KLConfig(Settings):
    """How far the policy may drift from the frozen reference.

    Attributes:
        coef: coefficient at the start; PPO subtracts it from the token rewards, GRPO adds it to the loss.
        target: wanted KL per response token, in nats (``adaptive`` only).
        schedule: ``adaptive`` multiplies the coefficient by 1.5 where the step's KL is above 1.5 target and divides it
            by 1.5 where it is below target / 1.5; ``fixed`` never changes it.
    """

    coef: float = bounded(5e-5, at_least=0)
    target: float = bounded(0.8, above=0)
    schedule: Literal["adaptive", "fixed"] = "adaptive"


@dataclass(frozen=True, kw_only=True)
class AlgorithmConfig(Settings):  # no ABC: jsonargparse takes a class with a base that is no dataclass for a choice
    """What every algorithm can be told.

    Attributes:
        name: what YAML calls the algorithm: the value of ``model.algorithm``, and its section under ``model``.
        uses_values: whether the policy needs a value head.
        takes_advantages: whether totals that are advantages (``aggregate: group_normalised``) are taken as they are.
        group_size: responses sampled for each prompt of a step.
        from_rewards: whether advantages are made of rewards alone, without the policy's log-probabilities or values.
        micro_batch_size: rows in one forward and backward pass (gradient accumulation); None takes a whole minibatch.
        micro_batch_tokens: tokens in one such pass, in place of a number of rows; a prompt counts once for the
            responses to it that go together.
        entropy_coef: weight of the entropy bonus.
        grad_norm: gradients are scaled down to this norm.
        lr_actor: AdamW learning rate of the language model.
        kl: the KL penalty.
    """

    name: ClassVar[str]
    uses_values: ClassVar[bool] = False
    takes_advantages: ClassVar[bool] = False
    from_rewards: ClassVar[bool] = False
    group_size: int = bounded(1, at_least=1)
    micro_batch_size: int | None = bounded(None, at_least=1)
    micro_batch_tokens: int | None = bounded(None, at_least=1)
    entropy_coef: float = bounded(0.01, at_least=0)
    grad_norm: float = bounded(1.0, above=0)
    lr_actor: float = bounded(1e-5, above=0)
    kl: KLConfig = field(default_factory=KLConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.micro_batch_size is not None and self.micro_batch_tokens is not None:
            raise SpecError(f"{type(self).__name__}: set micro_batch_size or micro_batch_tokens, not both")

    @property
    def group_filter(self) -> GroupFilterConfig | None:
        """Which groups are learned from; None: all."""
        return None

    @property
    def guides(self) -> GuidanceConfig | None:
        """Which responses go on from the beginning of a reference; None: none."""
        return None

    @property
    def learned_weights(self) -> LearnedWeightsConfig | None:
        """How the terms' weights are learned; None: they are the spec's."""
        return None

    @property
    def looks_back_in_update(self) -> bool:
        """Whether a step's only update can evaluate its rollout, for nothing needs that before, or after."""
        return self.from_rewards and self.epochs * self.minibatches == 1

    @property
    def has_reference(self) -> bool:
        """Whether the KL to the reference counts; an adaptive coefficient of 0 stays 0."""
        return self.kl.coef > 0

    @property
    def epochs(self) -> int:
        """Passes over a step's rollouts."""
        raise NotImplementedError

    @property
    def minibatches(self) -> int:
        """Optimizer steps in one pass."""
        raise NotImplementedError

    def build(self) -> Algorithm[Any]:
        """The algorithm with these settings."""
        raise NotImplementedError

    def parameter_groups(self, policy: Policy) -> list[dict[str, Any]]:
        """What the optimizer trains, each part at its learning rate."""
        return [{"params": [p for p in policy.lm.parameters() if p.requires_grad], "lr": self.lr_actor}]


@dataclass(frozen=True, kw_only=True)
class CriticConfig(AlgorithmConfig):
    """For an algorithm with a value head.

    Attributes:
        value_coef: weight of the value loss.
        lr_critic: AdamW learning rate of the value head.
    """

    uses_values: ClassVar[bool] = True
    value_coef: float = bounded(0.5, at_least=0)
    lr_critic: float = bounded(1e-4, above=0)

    def parameter_groups(self, policy: Policy) -> list[dict[str, Any]]:
        """The language model and the value head."""
        assert policy.value_head is not None
        head = {"params": list(policy.value_head.parameters()), "lr": self.lr_critic}
        return [*super().parameter_groups(policy), head]


@dataclass(frozen=True, kw_only=True)
class ClippedConfig(AlgorithmConfig):
    """For an algorithm that takes several optimizer steps on one batch and bounds each by the clipped ratio.

    Attributes:
        epochs: passes over a step's rollouts.
        minibatches: optimizer steps in one pass.
        clip: the ratio stays within [1 - clip, 1 + clip].
    """

    epochs: int = bounded(4, at_least=1)
    minibatches: int = bounded(4, at_least=1)
    clip: float = bounded(0.2, above=0)


C = TypeVar("C", bound=AlgorithmConfig)
Clipped = TypeVar("Clipped", bound=ClippedConfig)


class Algorithm(ABC, Generic[C]):
    """Turns rewards into advantages and advantages into a loss; keeps no state.

    Attributes:
        logged: names of what :meth:`loss` adds to the meter.
    """

    logged: ClassVar[tuple[str, ...]]

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def targets(self, experience: Experience, output: RewardOutput, groups: list[int], kl_coef: float) -> Experience:
        """The experience with its advantages, and its returns where there are values to fit.

        Args:
            groups: the number of each row's group, which is the responses to one record of the step.
        """

    @abstractmethod
    def loss(self, now: Evaluation, then: Experience, kl_coef: float, meter: Meter) -> Tensor:
        """The loss of each token, (B, T)."""

    def measure(self, experience: Experience, meter: Meter) -> None:
        """Adds what the algorithm logs about a rollout, beyond what every one does."""
        if self.config.uses_values:
            e = experience
            explained = explained_variance(e.values_BT, e.returns_BT, e.mask_BT, total)
            meter.add("train/explained_variance", explained)


class ClippedAlgorithm(Algorithm[Clipped]):
    """An algorithm whose surrogate is bounded by the clipped ratio."""

    def clipped_policy(self, now: Evaluation, then: Experience, meter: Meter) -> Tensor:
        """The surrogate of each token, (B, T); adds it to the meter with the share that has no gradient."""
        tokens = (now.logprobs_BT, then.logprobs_BT, then.advantages_BT, self.config.clip)
        policy_BT = then.weighted(clipped_policy_loss(*tokens))
        with torch.no_grad():
            meter.add_masked("train/policy_loss", policy_BT, then.mask_BT)
            meter.add_masked("train/clip_fraction", is_clipped(*tokens), then.mask_BT)
        return policy_BT
