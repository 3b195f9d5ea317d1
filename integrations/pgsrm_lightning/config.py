"""Settings as plain dataclasses that YAML and Python fill alike: their bounds, and those that no algorithm owns.

They are no pydantic dataclasses: those pass through jsonargparse too, but what is out of bounds then raises pydantic's
ValidationError of several lines, in Python and in a run alike, where a user of either expects one SpecError.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, fields
from typing import TypeVar

from pgsrm_plugin.errors import SpecError

T = TypeVar("T")
BOUNDS = {"at_least": operator.ge, "above": operator.gt, "at_most": operator.le}
"""What :func:`bounded` can ask of a value."""


def bounded(default: T, **bounds: float) -> T:
    """A field of a :class:`Settings` whose value keeps within bounds named in :data:`BOUNDS`, unless it is None."""
    return field(default=default, metadata=bounds)


@dataclass(frozen=True)
class Settings:
    """A section of settings.

    Raises:
        SpecError: a value is out of its field's bounds.
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            for bound, limit in each.metadata.items():
                if value is not None and not BOUNDS[bound](value, limit):
                    asked = f"{bound.replace('_', ' ')} {limit:g}"
                    raise SpecError(f"{type(self).__name__}.{each.name} must be {asked}, not {value:g}")


@dataclass(frozen=True)
class SamplingConfig(Settings):
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

    max_new_tokens: int = bounded(16, at_least=1)
    temperature: float = bounded(1.0, above=0)
    top_p: float = bounded(1.0, above=0, at_most=1)
    top_k: int = bounded(0, at_least=0)
    max_prompt_tokens: int | None = bounded(None, at_least=1)
    chat: bool = False
    eval_batch_size: int = bounded(64, at_least=1)


@dataclass(frozen=True)
class LoraConfig(Settings):
    """Low-rank adapters through peft; the base model stays frozen and is the KL reference.

    Attributes:
        r, alpha: rank and scale (the update is alpha / r times B A).
        target_modules: names of the layers that get adapters; None takes peft's choice for the architecture.
    """

    r: int = bounded(16, at_least=1)
    alpha: int = bounded(32, at_least=1)
    target_modules: list[str] | None = None


@dataclass(frozen=True)
class GroupFilterConfig(Settings):
    """Which groups teach enough to be learned from: those whose rewards differ enough (RLPR, arXiv 2506.18254).

    A group is left out where its rewards' standard deviation is below ``beta`` times the running mean of the steps'
    mean deviations. RLPR fills the batch up with further prompts; here the step is smaller.

    Attributes:
        beta: RLPR has 0.5 for Qwen, 0.9 for Llama and 1.0 for Gemma.
        ema: how much of the running mean each step keeps.
        collect_after: steps before the running mean begins; the rewards of the first ones are of another kind.
        filter_after: steps before anything is left out.
    """

    beta: float = bounded(0.5, above=0, at_most=10)
    ema: float = bounded(0.99, at_least=0, at_most=1)
    collect_after: int = bounded(5, at_least=0)
    filter_after: int = bounded(10, at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filter_after <= self.collect_after:
            raise SpecError(
                f"GroupFilterConfig.filter_after must be above collect_after ({self.collect_after}), as nothing is "
                f"known "
                f"before that; it is {self.filter_after}"
            )


@dataclass(frozen=True)
class LearnedWeightsConfig(Settings):
    """Which term a response is rewarded for most, learned by prompt and response (MAESTRO, arXiv 2601.07208).

    It prefers the weights under which responses look better than their group, not those under which they are better:
    hold its runs against something that the reward does not see.

    Attributes:
        emphasis: a chosen term of K counts 1 + emphasis (K - 1) times its weight, each other one 1 - emphasis times.
        lr: learning rate of the linear head, by plain gradient ascent.
        entropy: weight of the entropy of the choice, which keeps it from settling.
        every: steps between updates of the head, which is to change more slowly than the policy.
        temperature: of the choice's softmax.
    """

    emphasis: float = bounded(0.5, above=0, at_most=1)
    lr: float = bounded(0.1, above=0)
    entropy: float = bounded(0.01, at_least=0)
    every: int = bounded(4, at_least=1)
    temperature: float = bounded(1.0, above=0)
