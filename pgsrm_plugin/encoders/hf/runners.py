"""How a loaded model is run over the texts of a call: by workers on a CPU, or in batches on its device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from sentence_transformers import SentenceTransformer
from torch.nn.utils.rnn import pad_sequence

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.cpu.engine import Computed, CpuEngine, Input, Tail, Wanted
from pgsrm_plugin.encoders.hf.tokens import ReadTexts, TextReader
from pgsrm_plugin.errors import ScorerError

Work: TypeAlias = "Iterable[tuple[list[int], Sequence[Computed] | Future[list[Computed]]]]"
"""Rows of the texts, and what becomes of them."""

IDLE_TEXT = "."
"""What a rank runs that has no texts left while others have."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode, and what stands before and after its transformer."""

    spec: HfEncoderSpec
    identity: str
    model: SentenceTransformer
    reader: TextReader
    tail: Tail

    def inputs(self, texts: Sequence[str], read: ReadTexts) -> Sequence[Input]:
        """Each text as its transformer takes it alone."""
        if read.ids_N is not None:
            return read.ids_N
        return [self.model.preprocess([text], prompt=self.reader.prompt or None) for text in texts]


class Runner(Protocol):
    """Runs a model."""

    @property
    def whole_calls(self) -> bool:
        """Whether all texts of a call must come at once, because ranks agree on how often the model runs."""

    def start(self, texts: Sequence[str], read: ReadTexts, wanted: Wanted) -> Work:
        """Begins with the texts that have tokens: their vectors, and the states of what is read of them."""


class Workers:
    """The workers of :class:`~pgsrm_plugin.encoders.hf.cpu.engine.CpuEngine`, made at first use."""

    whole_calls = False

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._engine: CpuEngine | None = None

    @property
    def packed(self) -> bool:
        """Whether the model runs on prepacked weights; known from the first use on."""
        return self._engine is not None and self._engine.packed

    def start(self, texts: Sequence[str], read: ReadTexts, wanted: Wanted) -> Work:
        """See :meth:`Runner.start`."""
        if self._engine is None:
            spec = self._loaded.spec
            threads = spec.threads or torch.get_num_threads()
            self._engine = CpuEngine(self._loaded.model, self._loaded.tail, threads, spec.batch_tokens)
        return self._engine.start(self._loaded.inputs(texts, read), read.lengths_N, wanted)


class Batches:
    """Batches of like length, padded, within the token budget; on the model's device.

    Args:
        agree: the greatest of what each rank passes, where ranks must run the model equally often: a rank out of work
            runs batches of one idle text.
    """

    def __init__(self, loaded: LoadedModel, agree: Callable[[int], int] | None = None) -> None:
        self._loaded = loaded
        self._agree = agree

    @property
    def whole_calls(self) -> bool:
        """See :attr:`Runner.whole_calls`."""
        return self._agree is not None

    def start(self, texts: Sequence[str], read: ReadTexts, wanted: Wanted) -> Work:
        """See :meth:`Runner.start`."""
        batches = list(self._batches(read.lengths_N))
        agreed = self._agree(len(batches)) if self._agree is not None else len(batches)
        for rows in batches:
            ids = None if read.ids_N is None else [read.ids_N[row] for row in rows]
            features = self._forward([texts[row] for row in rows], wanted, ids)
            vectors = features["sentence_embedding"].cpu() if wanted.vectors else [None] * len(rows)
            yield rows, [Computed(*one) for one in zip(vectors, _states(features, len(rows), wanted), strict=True)]
        for _ in range(agreed - len(batches)):
            self._forward([IDLE_TEXT], Wanted())

    def _batches(self, lengths_N: Sequence[int]) -> Iterator[list[int]]:
        """Rows in batches of like length, shortest first, within the token budget (a single text may exceed it)."""
        longest = self._loaded.reader.max_tokens or max(lengths_N, default=0)
        order = sorted((row for row, length in enumerate(lengths_N) if length), key=lambda row: lengths_N[row])
        batch: list[int] = []
        for row in order:
            if batch and (len(batch) + 1) * min(lengths_N[row], longest) > self._loaded.spec.batch_tokens:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _forward(self, texts: list[str], wanted: Wanted, ids: list[list[int]] | None = None) -> dict[str, Any]:
        """Runs the module stack, or its transformer alone, in the weights' dtype even under a trainer's autocast."""
        model, device = self._loaded.model, self._loaded.model.device
        unpadded = wanted == Wanted(vectors=True) and getattr(model[0], "can_flatten_inputs", False)
        try:
            # no_grad and not inference_mode, whose tensors FSDP2 cannot gather into (no version counter).
            with torch.no_grad(), torch.autocast(device.type, enabled=False):
                if ids is None or unpadded:
                    features = model.preprocess(texts, prompt=self._loaded.reader.prompt or None)
                else:
                    features = self._padded(ids)
                features = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in features.items()}
                outputs: dict[str, Any] = model[0](features)
                return outputs | {"sentence_embedding": self._loaded.tail(outputs)} if wanted.vectors else outputs
        except torch.OutOfMemoryError as error:
            raise ScorerError(
                f"encoder {self._loaded.identity} ran out of memory on {device} with {len(texts)} texts in a forward "
                f"pass; lower encoder.batch_tokens (now {self._loaded.spec.batch_tokens})"
            ) from error

    def _padded(self, ids: list[list[int]]) -> dict[str, Any]:
        tokenizer = self._loaded.reader.tokenizer
        side, filler = tokenizer.padding_side, tokenizer.pad_token_id or 0
        rows = [torch.tensor(row) for row in ids]
        masks = [torch.ones_like(row) for row in rows]
        return {
            "input_ids": pad_sequence(rows, batch_first=True, padding_value=filler, padding_side=side),
            "attention_mask": pad_sequence(masks, batch_first=True, padding_side=side),
            "modality": "text",
        }


def _states(features: dict[str, Any], rows: int, wanted: Wanted) -> Sequence[torch.Tensor | None]:
    """The states of each text, without padding."""
    if not wanted.states:
        return [None] * rows
    states_NTD, masks_NT = features["token_embeddings"].float().cpu(), features["attention_mask"].cpu()
    return [state_TD[mask_T.bool()] for state_TD, mask_T in zip(states_NTD, masks_NT, strict=True)]


def fastest(loaded: LoadedModel) -> Runner:
    """Workers on a CPU, but for models without a transformers tokenizer; batches elsewhere."""
    on_cpu = loaded.model.device.type == "cpu" and loaded.reader.tokenizer is not None
    return Workers(loaded) if on_cpu else Batches(loaded)
