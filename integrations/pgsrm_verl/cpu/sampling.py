"""Sampling from a causal language model: a batch of prompts, one set of parameters, one seed a row.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

_IGNORED = {"logprobs", "seed", "max_tokens", "max_new_tokens"}


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens; hashable, so that requests with equal parameters share a batch.

    Attributes:
        temperature: > 0, or 0 for the most likely token.
        top_p: in (0, 1]; 1 keeps all.
        top_k: how many tokens to keep; -1 or 0 keeps all.
        repetition_penalty: > 0; 1 is none.
        stop_ids: tokens that end a response, part of it.
        max_tokens: at least 1.
        raw_logprobs: report log-probabilities of the bare model instead of the distribution that was sampled from.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    repetition_penalty: float = 1.0
    stop_ids: tuple[int, ...] = ()
    max_tokens: int = 16
    raw_logprobs: bool = False

    @classmethod
    def of_request(
        cls, request: Mapping[str, Any], stop_ids: Sequence[int], max_tokens: int, raw_logprobs: bool = False
    ) -> Sampling:
        """The parameters as verl's agent loop sends them.

        Raises:
            ValueError: the request asks for something that is not implemented here; ignoring it would change results.
        """
        known = {"temperature", "top_p", "top_k", "repetition_penalty"}
        extra = set(request) - known - _IGNORED - {"stop_token_ids"}
        extra = {name for name in extra if request[name] not in (None, False, [])}
        if extra:
            raise ValueError(f"the Hugging Face rollout does not know the sampling parameters {sorted(extra)}")
        chosen = {name: request[name] for name in known if request.get(name) is not None}
        stops = (*stop_ids, *(request.get("stop_token_ids") or ()))
        limit = request.get("max_tokens") or request.get("max_new_tokens") or max_tokens
        return cls(**chosen, stop_ids=tuple(sorted(set(stops))), max_tokens=max(1, limit), raw_logprobs=raw_logprobs)

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def warpers(self) -> LogitsProcessorList:
        """What shapes the distribution before a token is drawn, in vLLM's order."""
        warpers: list[LogitsProcessor] = []
        if self.repetition_penalty != 1.0:
            warpers.append(RepetitionPenaltyLogitsProcessor(self.repetition_penalty))
        if not self.greedy and self.temperature != 1.0:
            warpers.append(TemperatureLogitsWarper(float(self.temperature)))
        if not self.greedy and self.top_k > 0:
            warpers.append(TopKLogitsWarper(self.top_k))
        if not self.greedy and self.top_p < 1.0:
            warpers.append(TopPLogitsWarper(float(self.top_p)))
        return LogitsProcessorList(warpers)


class _Draw(LogitsProcessor):  # type: ignore[misc]  # mypy does not read transformers
    """Draws each row's next token with that row's own generator, so that it does not depend on its neighbours.

    ``generate`` runs greedily and takes the token that is left standing; the log-probabilities are kept.
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int]) -> None:
        self.sampling = sampling
        self.warpers = sampling.warpers()
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.logprobs: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        raw_BV = scores.float()
        warped_BV = self.warpers(input_ids, raw_BV.clone())
        tokens_B1 = warped_BV.argmax(-1, keepdim=True) if self.sampling.greedy else self._sample(warped_BV)
        reported_BV = raw_BV if self.sampling.raw_logprobs else warped_BV
        self.logprobs.append(reported_BV.log_softmax(-1).gather(-1, tokens_B1).squeeze(-1))
        return torch.full_like(raw_BV, -torch.inf).scatter_(-1, tokens_B1, 0.0)

    def _sample(self, logits_BV: torch.Tensor) -> torch.Tensor:
        """By inversion: the first token at which the cumulative probability exceeds a uniform number, (B, 1)."""
        cdf_BV = logits_BV.double().softmax(-1).cumsum(-1)
        uniform_B1 = torch.stack([torch.rand(1, generator=generator) for generator in self.generators]).double()
        return torch.searchsorted(cdf_BV, uniform_B1 * cdf_BV[:, -1:], right=True).clamp(max=cdf_BV.shape[-1] - 1)


@torch.inference_mode()
def generate(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]
) -> list[tuple[list[int], list[float]]]:
    """Responses to prompts, as (token ids, their log-probabilities); a stop token is the last of its response.

    Args:
        prompts: token ids, B rows, none empty.
        seeds: one a row; equal seeds and prompts give equal responses.
    """
    width = max(len(prompt) for prompt in prompts)
    ids_BP = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask_BP = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    draw = _Draw(sampling, seeds)
    config = GenerationConfig(
        max_new_tokens=sampling.max_tokens,
        do_sample=False,
        eos_token_id=list(sampling.stop_ids) or None,
        pad_token_id=0,
    )
    output_BT = model.generate(
        ids_BP, attention_mask=mask_BP, generation_config=config, logits_processor=LogitsProcessorList([draw])
    )
    logprobs_BT = torch.stack(draw.logprobs, 1)
    rows = zip(output_BT[:, width:].tolist(), logprobs_BT.tolist(), strict=True)
    return [_until_stop(tokens, logprobs, sampling.stop_ids) for tokens, logprobs in rows]


def _until_stop(tokens: list[int], logprobs: list[float], stop_ids: Sequence[int]) -> tuple[list[int], list[float]]:
    end = next((i + 1 for i, token in enumerate(tokens) if token in stop_ids), len(tokens))
    return tokens[:end], logprobs[:end]
