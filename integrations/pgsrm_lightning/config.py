"""The settings of a run, as plain dataclasses that YAML and Python fill alike. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pgsrm_plugin.errors import SpecError


@dataclass(frozen=True)
class KLConfig:
    """How far the policy may drift from the frozen reference.

    Attributes:
        coef: coefficient at the start; PPO subtracts it from the token rewards, GRPO adds it to the loss.
        target: wanted KL per response token, in nats (``adaptive`` only).
        schedule: ``adaptive`` multiplies the coefficient by 1.5 where the step's KL is above 1.5 target and divides it
            by 1.5 where it is below target / 1.5; ``fixed`` never changes it.
    """

    coef: float = 5e-5
    target: float = 0.8
    schedule: Literal["adaptive", "fixed"] = "adaptive"

    def __post_init__(self) -> None:
        _at_least(self, 0.0, "coef")
        _above(self, 0.0, "target")


@dataclass(frozen=True)
class PPOConfig:
    """Proximal policy optimisation with a value head (Schulman et al., arXiv 1707.06347).

    Attributes:
        group_size: responses sampled for each prompt of a step.
        epochs: passes over a step's rollouts.
        minibatches: optimizer steps in one pass.
        micro_batch_size: rows in one forward and backward pass (gradient accumulation); None takes a whole minibatch.
        clip: the ratio stays within [1 - clip, 1 + clip].
        value_clip: the value stays within this distance of the value at rollout.
        gamma, gae_lambda: discount and GAE's bias-variance trade-off, per token.
        entropy_coef, value_coef: weights of entropy bonus and value loss.
        grad_norm: gradients are scaled down to this norm.
        lr_actor, lr_critic: AdamW learning rates of the language model and of the value head.
        kl: the KL penalty, taken from the reward of each token.
    """

    group_size: int = 1
    epochs: int = 4
    minibatches: int = 4
    micro_batch_size: int | None = None
    clip: float = 0.2
    value_clip: float = 0.2
    gamma: float = 1.0
    gae_lambda: float = 0.95
    entropy_coef: float = 0.01
    value_coef: float = 0.5
    grad_norm: float = 1.0
    lr_actor: float = 1e-5
    lr_critic: float = 1e-4
    kl: KLConfig = field(default_factory=KLConfig)

    def __post_init__(self) -> None:
        _at_least(self, 1, "group_size", "epochs", "minibatches", "micro_batch_size")
        _above(self, 0.0, "clip", "value_clip", "grad_norm", "lr_actor", "lr_critic")
        _at_least(self, 0.0, "gamma", "gae_lambda", "entropy_coef", "value_coef")
        _at_most(self, 1.0, "gamma", "gae_lambda")


@dataclass(frozen=True)
class GRPOConfig:
    """Group relative policy optimisation, without a value head (DeepSeekMath, arXiv 2402.03300).

    Attributes:
        group_size: responses sampled for each prompt; their rewards are compared with one another.
        noise: a group whose rewards' standard deviation is at most this has advantage exactly 0.
        kl: the KL penalty, added to the loss with the k3 estimator.
        epochs, minibatches, micro_batch_size, clip, entropy_coef, grad_norm, lr_actor: as in :class:`PPOConfig`.
    """

    group_size: int = 8
    noise: float = 1e-6
    epochs: int = 1
    minibatches: int = 1
    micro_batch_size: int | None = None
    clip: float = 0.2
    entropy_coef: float = 0.0
    grad_norm: float = 1.0
    lr_actor: float = 1e-5
    kl: KLConfig = field(default_factory=lambda: KLConfig(coef=0.04, schedule="fixed"))

    def __post_init__(self) -> None:
        _at_least(self, 2, "group_size")
        _at_least(self, 1, "epochs", "minibatches", "micro_batch_size")
        _above(self, 0.0, "clip", "grad_norm", "lr_actor")
        _at_least(self, 0.0, "noise", "entropy_coef")


@dataclass(frozen=True)
class ReinforceConfig:
    """REINFORCE with a learned baseline, as in the PGSRM authors' public code: one optimizer step a batch.

    Its KL term stands in the loss and has zero expected gradient there; see
    :mod:`~pgsrm_lightning.algorithms.reinforce`.

    Attributes:
        group_size, micro_batch_size, entropy_coef, value_coef, grad_norm, lr_actor, lr_critic: as in
            :class:`PPOConfig`.
        kl: the coefficient of the KL term in the loss.
    """

    epochs: ClassVar[int] = 1
    minibatches: ClassVar[int] = 1
    group_size: int = 1
    micro_batch_size: int | None = None
    entropy_coef: float = 0.01
    value_coef: float = 0.5
    grad_norm: float = 1.0
    lr_actor: float = 1e-5
    lr_critic: float = 1e-4
    kl: KLConfig = field(default_factory=KLConfig)

    def __post_init__(self) -> None:
        _at_least(self, 1, "group_size", "micro_batch_size")
        _above(self, 0.0, "grad_norm", "lr_actor", "lr_critic")
        _at_least(self, 0.0, "entropy_coef", "value_coef")


@dataclass(frozen=True)
class SamplingConfig:
    """How prompts are presented and responses drawn.

    Attributes:
        max_new_tokens: a response without an end-of-text token by then is cut and counted as truncated.
        temperature: of the softmax, at sampling and in every log-probability alike.
        top_p, top_k: nucleus and top-k limits of the sampling; 1.0 and 0 switch them off. Log-probabilities are those
            of the whole softmax, so with limits the first ratio is still 1 but sampling is no longer exactly on-policy.
        max_prompt_tokens: a longer prompt is an error; None allows what the model's context leaves.
        chat: put a plain-text prompt into the tokenizer's chat template as a user message.
        eval_batch_size: validation prompts answered at once.
    """

    max_new_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_prompt_tokens: int | None = None
    chat: bool = False
    eval_batch_size: int = 64

    def __post_init__(self) -> None:
        _at_least(self, 1, "max_new_tokens", "max_prompt_tokens", "eval_batch_size")
        _above(self, 0.0, "temperature", "top_p")
        _at_most(self, 1.0, "top_p")
        _at_least(self, 0, "top_k")


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters through peft; the base model stays frozen and is the KL reference.

    Attributes:
        r, alpha: rank and scale (the update is alpha / r times B A).
        target_modules: names of the layers that get adapters; None takes peft's choice for the architecture.
    """

    r: int = 16
    alpha: int = 32
    target_modules: list[str] | None = None

    def __post_init__(self) -> None:
        _at_least(self, 1, "r", "alpha")


def _at_least(config: object, low: float, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and value < low:
            raise SpecError(f"{type(config).__name__}.{name} must be at least {low:g}, not {value:g}")


def _above(config: object, low: float, *names: str) -> None:
    for name in names:
        if not getattr(config, name) > low:
            raise SpecError(f"{type(config).__name__}.{name} must be above {low:g}, not {getattr(config, name):g}")


def _at_most(config: object, high: float, *names: str) -> None:
    for name in names:
        if getattr(config, name) > high:
            raise SpecError(f"{type(config).__name__}.{name} must be at most {high:g}, not {getattr(config, name):g}")
