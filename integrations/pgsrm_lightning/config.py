"""Settings as plain dataclasses that YAML and Python fill alike: their bounds, and those that no algorithm owns.

They are no pydantic dataclasses: those pass through jsonargparse too, but what is out of bounds then raises pydantic's
ValidationError of several lines, in Python and in a run alike, where a user of either expects one SpecError.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, fields
from typing import Literal, TypeVar

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
class ImportanceSamplingConfig(Settings):
    """What makes up for a sampler that is not quite the policy: its tokens' policy loss is weighted, up to a cap.

    Truncated importance sampling of Yao et al. (Your efficient RL framework secretly brings you off-policy RL training,
    2025).

    Attributes:
        cap: the largest weight.
        level: ``token`` weighs each token by its own ratio of probabilities, ``sequence`` all tokens of a response by
            the product of theirs: unbiased below the cap, and of much greater variance.
    """

    cap: float = bounded(2.0, above=0)
    level: Literal["token", "sequence"] = "token"


@dataclass(frozen=True)
class VllmConfig(Settings):
    """vLLM in the process that trains, on its device.

    Attributes:
        gpu_memory_utilization: share of the GPU's memory for vLLM's weights and cache; on a CPU, of the machine's.
        kv_cache_gib: of keys and values, GiB; None: what that share leaves.
        max_model_len: tokens of prompt and response together; None: the child's context.
        dtype: of weights and cache; ``auto`` is that in which the trainer computes.
        enforce_eager: no compilation and no CUDA graphs: slower, but ready sooner.
        sleep: on a GPU, give weights and cache up while the child learns. A CPU has no such mode.
    """

    gpu_memory_utilization: float = bounded(0.3, above=0, at_most=1)
    kv_cache_gib: float | None = bounded(None, above=0)
    max_model_len: int | None = bounded(None, at_least=2)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    enforce_eager: bool = False
    sleep: bool = True


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
        engine: what draws: ``hf``, transformers with the very policy that is trained, or ``vllm``, vLLM with a copy of
            its weights.
        vllm: settings of vLLM.
        importance_sampling: with vLLM, what makes up for its log-probabilities' being other than the trainer's; None
            corrects nothing.
    """

    max_new_tokens: int = bounded(16, at_least=1)
    temperature: float = bounded(1.0, above=0)
    top_p: float = bounded(1.0, above=0, at_most=1)
    top_k: int = bounded(0, at_least=0)
    max_prompt_tokens: int | None = bounded(None, at_least=1)
    chat: bool = False
    eval_batch_size: int = bounded(64, at_least=1)
    engine: Literal["hf", "vllm"] = "hf"
    vllm: VllmConfig = VllmConfig()
    importance_sampling: ImportanceSamplingConfig | None = ImportanceSamplingConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.engine == "hf":
            self._refuse_what_only_vllm_has()
        else:
            self._refuse_what_vllm_cannot_do()

    @property
    def settings(self) -> VllmConfig | None:
        """Of the engine, where it has some."""
        return self.vllm if self.engine == "vllm" else None

    @property
    def limited(self) -> bool:
        """Whether some tokens are never drawn."""
        return self.top_p < 1.0 or self.top_k > 0

    @property
    def context(self) -> int | None:
        """The most tokens of prompt and response that the engine takes; None: those that the child does."""
        return None if self.settings is None else self.settings.max_model_len

    def _refuse_what_only_vllm_has(self) -> None:
        if self.vllm != VllmConfig():
            raise SpecError(
                "model.sampling.vllm is set, but model.sampling.engine is hf; remove it, or set engine: vllm"
            )
        if self.importance_sampling not in (None, ImportanceSamplingConfig()):
            raise SpecError(
                "model.sampling.importance_sampling is set, but sampling.engine is hf, which draws from the policy "
                "itself, so there is nothing to correct; remove it, or set engine: vllm"
            )

    def _refuse_what_vllm_cannot_do(self) -> None:
        if not 0.01 <= self.temperature <= 2.0:
            raise SpecError(
                f"model.sampling.temperature: vLLM takes 0.01 to 2, not {self.temperature:g}; change it, or engine: hf"
            )
        if self.limited and self.importance_sampling is not None:
            raise SpecError(
                "model.sampling: with top_p or top_k vLLM's log-probabilities are of the tokens that are left only, so "
                "every importance ratio would hold the share that is left; set top_p: 1.0 and top_k: 0, or "
                "importance_sampling: null, or engine: hf"
            )
        if self.context is not None and self.context <= self.max_new_tokens:
            raise SpecError(
                f"model.sampling.vllm.max_model_len: {self.context} leaves no room for a prompt beside max_new_tokens: "
                f"{self.max_new_tokens}"
            )


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
class GuidanceConfig(Settings):
    """Some responses go on from the beginning of a reference, whose length adapts (G2RPO-A, arXiv 2508.13023).

    What was given is no word of the policy's: it is neither scored nor learned, and responses with guidance are
    compared with one another alone, as are those without.

    Attributes:
        share: of a prompt's responses; at least two of them.
        start, max: tokens that are given, at first and at most.
        column: where rows keep the text, as a dotted path (a worked solution, say); None: the first reference.
    """

    share: float = bounded(0.17, above=0, at_most=0.75)
    start: int = bounded(64, at_least=1)
    max: int = bounded(256, at_least=1)
    column: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start > self.max:
            raise SpecError(f"GuidanceConfig.start must be at most max ({self.max}), not {self.start}")

    def guided(self, group_size: int) -> int:
        """How many of a prompt's responses have guidance.

        >>> [GuidanceConfig().guided(size) for size in (4, 8, 12, 32)]
        [2, 2, 2, 5]
        """
        return max(2, round(self.share * group_size))


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
