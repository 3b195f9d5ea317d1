"""A parent that transformers runs in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessorList

from pgsrm_plugin.asking.engines.base import Completion
from pgsrm_plugin.asking.engines.openai.refusal import unwanted_role
from pgsrm_plugin.asking.engines.render import cut_at, joined
from pgsrm_plugin.asking.engines.sampling import SeededSampling
from pgsrm_plugin.asking.engines.settings import HfSettings
from pgsrm_plugin.asking.store.answers import ParentConfig, Request
from pgsrm_plugin.errors import SpecError

_OWN = {"top_k", "logprobs"}
"""What this engine does itself."""
_EXTRA = {"repetition_penalty", "no_repeat_ngram_size", "min_new_tokens", *_OWN}


class HfEngine:
    """Answers batches with ``generate``: padded on the left, through the chat template where the tokenizer has one.

    No code from the model's repository is run. Only the settings of the config apply: those that a model's own
    ``generation_config.json`` would add (temperature, penalties) do not, but for its end-of-text tokens. A sampled
    answer depends on its own request and seed, not on the batch.

    Args:
        config: the parent; ``model`` is a folder or a hub id.
        settings: device, dtype and batch size.

    Raises:
        SpecError: the model cannot be loaded, or a setting is unknown to this engine.
    """

    def __init__(self, config: ParentConfig, settings: HfSettings) -> None:
        unknown = sorted(set(config.sampling.extra) - _EXTRA)
        if unknown:
            raise SpecError(f"engine hf: unknown setting {unknown[0]!r}; it knows {', '.join(sorted(_EXTRA))}")
        self.config = config
        self.batch_size = settings.batch_size
        self._tokenizer, self._model = _load(config, settings)
        self._ends = _end_tokens(self._model, self._tokenizer)
        pads = (self._tokenizer.pad_token_id, *self._ends, 0)
        self._pad = next(token for token in pads if token is not None)
        self._model.generation_config = GenerationConfig()

    def __repr__(self) -> str:
        return f"HfEngine({self.config.model!r}, device={str(self._model.device)!r})"

    @property
    def settings(self) -> Mapping[str, Any]:
        model = self._model
        return {
            "device": model.device.type,
            "dtype": str(model.dtype).removeprefix("torch."),
            "commit": getattr(model.config, "_commit_hash", None),
            "transformers": transformers.__version__,
        }

    def complete_batch(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion a request; a prompt that is too long, or that the chat template refuses, has an error."""
        prompts = [self._prompt_ids(request) for request in requests]
        rows = [row for row, ids in enumerate(prompts) if not isinstance(ids, str)]
        completions = [
            Completion(error=ids, permanent=True) if isinstance(ids, str) else Completion() for ids in prompts
        ]
        if rows:
            ids = [list(prompts[row]) for row in rows]
            answers = self._generate(ids, [requests[row] for row in rows])  # type: ignore[arg-type]
            for row, answer in zip(rows, answers, strict=True):
                completions[row] = answer
        return completions

    def _prompt_ids(self, request: Request) -> list[int] | str:
        """The tokens that the model reads, or why there are none."""
        messages = request.messages(self.config)
        try:
            if self._tokenizer.chat_template:
                text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
                ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            else:
                ids = self._tokenizer(joined(messages))["input_ids"]
        except Exception as error:  # whatever a model's template raises
            hint = unwanted_role(str(error))
            return f"the prompt cannot be rendered: {type(error).__name__}: {error}" + (f"; {hint}" if hint else "")
        wanted, limit = self.config.sampling.max_tokens, _positions(self._model)
        if limit is not None and len(ids) + wanted > limit:
            return f"{len(ids)} prompt tokens and max_tokens {wanted} are more than the model's {limit} positions"
        return ids or "the prompt is empty"

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[list[int]], requests: Sequence[Request]) -> list[Completion]:
        sampling, longest = self.config.sampling, max(map(len, prompts))
        padded = [[self._pad] * (longest - len(ids)) + ids for ids in prompts]
        mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
        device = self._model.device
        generated = self._model.generate(
            input_ids=torch.tensor(padded, device=device),
            attention_mask=torch.tensor(mask, device=device),
            generation_config=self._generation_config(),
            logits_processor=self._sampler(requests),
            tokenizer=self._tokenizer if sampling.stop else None,
        )
        new = generated.sequences[:, longest:].tolist()
        completions = [self._completion(ids, len(prompt)) for ids, prompt in zip(new, prompts, strict=True)]
        count = int(sampling.extra.get("logprobs", 0))
        if not count:
            return completions
        logprobs_BV = torch.log_softmax(generated.logits[0].double(), dim=-1)
        return [
            replace(completion, first_token=self._likeliest(logprobs_V, count))
            for completion, logprobs_V in zip(completions, logprobs_BV, strict=True)
        ]

    def _likeliest(self, logprobs_V: torch.Tensor, count: int) -> dict[str, float]:
        top = logprobs_V.topk(min(count, len(logprobs_V)))
        pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        return {self._tokenizer.decode([token]): value for token, value in reversed(list(pairs))}

    def _generation_config(self) -> GenerationConfig:
        sampling = self.config.sampling
        return GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            do_sample=False,
            pad_token_id=self._pad,
            eos_token_id=self._ends or None,
            stop_strings=list(sampling.stop) or None,
            return_dict_in_generate=True,
            output_logits="logprobs" in sampling.extra,
            **{name: value for name, value in sampling.extra.items() if name not in _OWN},
        )

    def _sampler(self, requests: Sequence[Request]) -> LogitsProcessorList:
        sampling = self.config.sampling
        temperature = 1.0 if sampling.temperature is None else sampling.temperature
        if not temperature:
            return LogitsProcessorList()
        # The call's digest covers the seed, the sample and the prompt.
        seeds = [None if sampling.seed is None else int(request.call(self.config)[:15], 16) for request in requests]
        top_k = int(sampling.extra.get("top_k", 0))
        return LogitsProcessorList([SeededSampling(seeds, temperature, sampling.top_p, top_k, self._model.device)])

    def _completion(self, new_ids: list[int], prompt_tokens: int) -> Completion:
        ended = next((place for place, token in enumerate(new_ids) if token in self._ends), None)
        kept = new_ids if ended is None else new_ids[:ended]
        text = self._tokenizer.decode(kept, skip_special_tokens=True)
        before_stop = cut_at(text, self.config.sampling.stop)
        return Completion(
            text=text if before_stop is None else before_stop,
            finish_reason="length" if ended is None and before_stop is None else "stop",
            prompt_tokens=prompt_tokens,
            completion_tokens=len(kept) + (ended is not None),
        )


def _load(config: ParentConfig, settings: HfSettings) -> tuple[Any, Any]:
    device = settings.device if settings.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = settings.dtype if settings.dtype == "auto" else getattr(torch, settings.dtype)
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.model, revision=config.revision, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            config.model, revision=config.revision, trust_remote_code=False, dtype=dtype
        )
        return tokenizer, model.requires_grad_(False).eval().to(device)
    except Exception as error:
        raise SpecError(
            f"the parent {config.model!r} cannot be loaded by transformers on {device}: "
            f"{type(error).__name__}: {str(error)[:400]}"
        ) from error


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the model's own, and the tokenizer's."""
    own = getattr(model.generation_config, "eos_token_id", None)
    own = own if isinstance(own, list) else [own]
    return sorted({token for token in (*own, tokenizer.eos_token_id) if token is not None})


def _positions(model: Any) -> int | None:
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None
