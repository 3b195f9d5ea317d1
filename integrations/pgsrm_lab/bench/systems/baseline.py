"""sentence-transformers as a user has it: loaded by its own constructor, called by its own ``encode``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import pairwise_cos_sim
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from pgsrm_lab.bench.workload import Pairs
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.load import find_model
from pgsrm_plugin.errors import SpecError


class Baseline:
    """A sentence-transformers model in one dtype, with the spec's prompt and truncation.

    Args:
        spec: names the model; its ``dtype`` is what the weights are loaded in.
        attention: transformers' name of the attention, None for what it takes by itself.

    Raises:
        SpecError: sentence-transformers cannot load the model, or it is no transformer.
    """

    def __init__(self, spec: HfEncoderSpec, attention: str | None = None) -> None:
        source = find_model(spec.model, spec.revision)
        settings: dict[str, Any] = {"dtype": getattr(torch, spec.dtype), "use_safetensors": True}
        if attention is not None:
            settings["attn_implementation"] = attention
        try:
            with _no_progress_bar():
                self.model = SentenceTransformer(
                    source.location,
                    revision=source.revision,
                    device=None if spec.device == "auto" else spec.device,
                    local_files_only=source.offline or source.revision is None,
                    model_kwargs=settings,
                )
        except Exception as error:  # whatever a model's files make the libraries raise
            raise SpecError(
                f"encoder.model {spec.model!r} cannot be loaded: {type(error).__name__}: {str(error)[:300]}"
            ) from error
        if not isinstance(self.model.tokenizer, PreTrainedTokenizerBase):
            raise SpecError(f"pgsrm bench measures transformers, and {spec.model} is none; name another model")
        if spec.max_tokens is not None:
            self.model.max_seq_length = spec.max_tokens
        self._prompt = spec.prompt
        self.device = str(self.model.device)
        self.padding = PaddingMeter(self.model)

    def encode(self, texts: Sequence[str], **settings: Any) -> Any:
        """``SentenceTransformer.encode`` with the spec's prompt, and no progress bar."""
        return self.model.encode(list(texts), prompt=self._prompt, show_progress_bar=False, **settings)

    def cosines_each(self, pairs: Pairs) -> torch.Tensor:
        """(B,) cosines, one text at a time: what a reward function that is called a response at a time does."""
        return torch.cat(
            [
                pairwise_cos_sim(self.encode([response]), self.encode([reference]))
                for response, reference in zip(pairs.responses, pairs.references, strict=True)
            ]
        )

    def cosines_by_default(self, pairs: Pairs) -> torch.Tensor:
        """(B,) cosines as its documentation shows it: one ``encode`` a side with its defaults, nothing deduplicated."""
        cosines_B: torch.Tensor = pairwise_cos_sim(self.encode(pairs.responses), self.encode(pairs.references))
        return cosines_B

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """The tokens that the model reads of each text: prompt and special tokens included, what is cut off not."""
        prompt = self._prompt if self._prompt is not None else self._default_prompt()
        inputs = self.model.tokenizer([prompt + text for text in texts], verbose=False)["input_ids"]
        limit = self.model.max_seq_length or 10**9
        return [min(len(ids), limit) for ids in inputs]

    def _default_prompt(self) -> str:
        return self.model.prompts.get(self.model.default_prompt_name or "") or ""


class PaddingMeter:
    """Counts the tokens, and the padding among them, that a model's transformer is given while it is open."""

    def __init__(self, model: SentenceTransformer) -> None:
        self._masks: list[torch.Tensor] | None = None
        model[0].register_forward_pre_hook(self._see)

    def open(self) -> None:
        """Starts to count."""
        self._masks = []

    def close(self) -> float | None:
        """Stops, and returns the padding's share of all tokens; None where the model was given no mask."""
        masks, self._masks = self._masks or [], None
        total = sum(mask.numel() for mask in masks)
        return 1.0 - sum(int(mask.sum()) for mask in masks) / total if total else None

    def _see(self, _module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        if self._masks is not None and isinstance(mask := inputs[0].get("attention_mask"), torch.Tensor):
            self._masks.append(mask)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
