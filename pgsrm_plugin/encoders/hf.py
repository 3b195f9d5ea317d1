"""Sentence-transformers models: pooling, prompts and normalisation as their own files say, batching ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from pgsrm_plugin.encoders.hf_check import self_test
from pgsrm_plugin.encoders.hf_load import find_model, load_model, position_limit
from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.spec.encoders import HfEncoderSpec
from pgsrm_plugin.types import Embeddings


class HfEncoder:
    """A frozen sentence-transformers model, run in length-sorted batches of at most ``batch_tokens`` padded tokens.

    The prompt is the spec's if it has one (``""`` means none), else the model's default prompt (``default_prompt_name``
    in its ``config_sentence_transformers.json``), else none. Query and document prompts are not used: both sides of a
    comparison are embedded alike.

    It is not a ``torch.nn.Module``, so a module that holds it neither trains, moves nor saves it.

    Args:
        spec: the model and how to run it.

    Raises:
        SpecError: the model cannot be found or loaded, or ``max_tokens`` or the prompt do not fit it.
        ScorerError: the model fails its self-test.
    """

    def __init__(self, spec: HfEncoderSpec) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        source = find_model(spec.model, spec.revision)
        self._model = load_model(source, spec)
        default = self._model.prompts.get(self._model.default_prompt_name or "")
        self.prompt: str = (spec.prompt if spec.prompt is not None else default) or ""
        tokenizer = self._model.tokenizer
        self._tokenizer: Any = tokenizer if isinstance(tokenizer, PreTrainedTokenizerBase) else None
        self._chat = "message" in getattr(self._model, "modalities", ())
        self.max_tokens = self._set_max_tokens()
        prompt = f";prompt={self.prompt!r}" if self.prompt else ""
        self.identity = f"hf:{source.name};max_tokens={self.max_tokens};dtype={spec.dtype}{prompt}"
        if spec.self_test:
            self_test(self, self._model, spec)

    def __repr__(self) -> str:
        return f"HfEncoder({self.identity!r}, device={str(self._model.device)!r})"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._model.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """One vector a text, in order. ``tokens_N`` counts the text alone, without prompt and special tokens.

        A text without a single token is unknown, and gets the zero vector. Where the model has no transformers
        tokenizer (static sentence-transformers models) tokens are not counted (-1), and a text without a known word is
        unknown.

        Raises:
            ScorerError: the device is out of memory.
        """
        with self._lock:
            lengths_N, tokens_N = self._count(texts)
            vectors_ND = torch.zeros(len(texts), self.dimensions)
            truncated_N = torch.zeros(len(texts), dtype=torch.bool)
            for rows in self._rounds(list(self._batches(lengths_N))):
                features = self._forward([texts[row] for row in rows], pooled=True)
                vectors_ND[rows] = features["sentence_embedding"].float().cpu()
                mask = features.get("attention_mask")
                if mask is not None and self._tokenizer is not None:
                    read = mask.sum(dim=1).tolist()
                    truncated_N[rows] = torch.tensor([lengths_N[row] > n for row, n in zip(rows, read, strict=True)])
        unknown_N = torch.tensor([length == 0 for length in lengths_N], dtype=torch.bool)
        if self._tokenizer is None:
            unknown_N |= ~vectors_ND.any(dim=1)
        return Embeddings(vectors_ND, torch.tensor(tokens_N, dtype=torch.int64), truncated_N, unknown_N)

    def token_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """The transformer's last states, (T, D) float32 a text, of the tokens of the text alone, as far as it is read.

        Raises:
            ScorerError: the model has no states of single tokens that can be told from its prompt's and template's.
        """
        if self._tokenizer is None or self._chat or (self.prompt and not self._tokenizer.is_fast):
            raise ScorerError(f"encoder {self.identity} has no token states; use a transformer with a fast tokenizer")
        states: list[torch.Tensor] = [torch.zeros(0, 0)] * len(texts)
        with self._lock:
            lengths_N, _ = self._count(texts)
            for rows in self._rounds(list(self._batches(lengths_N))):
                batch = [texts[row] for row in rows]
                features = self._forward(batch, pooled=False)
                encoding = self._tokenize(batch, truncation=True, padding=True)
                for i, row in enumerate(rows):
                    own = torch.tensor(self._own_tokens(encoding, i), dtype=torch.bool)
                    states[row] = features["token_embeddings"][i].float().cpu()[own].clone()
        width = max((state_TD.shape[1] for state_TD in states), default=0)
        return [state_TD if state_TD.shape[1] else torch.zeros(0, width) for state_TD in states]

    def _set_max_tokens(self) -> int | None:
        """Applies the truncation length, the spec's or the model's, and returns it; None where nothing is truncated."""
        limit, wanted = position_limit(self._model), self._spec.max_tokens
        if self._tokenizer is None:
            if wanted is not None:
                raise SpecError(
                    f"encoder.max_tokens: {self._spec.model} has no transformers tokenizer, and never truncates"
                )
            return None
        if wanted is not None and limit is not None and wanted > limit:
            raise SpecError(f"encoder.max_tokens: {wanted} is more than the {limit} positions of {self._spec.model}")
        own = self._model.max_seq_length
        own = own if own is not None and own < 10**9 else None
        chosen = wanted if wanted is not None else min((n for n in (own, limit) if n is not None), default=None)
        if chosen is not None:
            self._model.max_seq_length = chosen
            taken = len(self._tokenize([""], truncation=False)["input_ids"][0])
            if taken >= chosen:
                raise SpecError(
                    f"encoder.prompt and special tokens take {taken} of {chosen} tokens; no room for a text"
                )
        return chosen

    def _tokenize(self, texts: Sequence[str], **settings: Any) -> Any:
        return self._tokenizer(
            [self.prompt + text for text in texts],
            return_special_tokens_mask=True,
            return_offsets_mapping=bool(self.prompt) and self._tokenizer.is_fast,
            verbose=False,
            **settings,
        )

    def _own_tokens(self, encoding: Any, row: int) -> list[bool]:
        """Which tokens are the text's: neither special nor padding, and not wholly inside the prompt."""
        special = encoding["special_tokens_mask"][row]
        if not self.prompt:
            return [not flag for flag in special]
        ends = [end for _, end in encoding["offset_mapping"][row]]
        return [not flag and end > len(self.prompt) for flag, end in zip(special, ends, strict=True)]

    def _count(self, texts: Sequence[str]) -> tuple[list[int], list[int]]:
        """Tokens of each whole input (prompt, template and special tokens included), and of each text alone."""
        if self._tokenizer is None:
            return [1 + len(text) // 4 for text in texts], [-1] * len(texts)
        if self._chat:
            *lengths, empty = [self._templated_length(text) for text in [*texts, ""]]
            return lengths, [max(0, length - empty) for length in lengths]
        if not texts:
            return [], []
        encoding = self._tokenize(texts, truncation=False, padding=False)
        lengths = [len(ids) for ids in encoding["input_ids"]]
        if self.prompt and not self._tokenizer.is_fast:
            return lengths, [-1] * len(texts)
        return lengths, [sum(self._own_tokens(encoding, row)) for row in range(len(texts))]

    def _templated_length(self, text: str) -> int:
        whole = {"text": {"truncation": False, "verbose": False}}
        features = self._model.preprocess([text], prompt=self.prompt or None, processing_kwargs=whole)
        return int(features["input_ids"].shape[1])

    def _batches(self, lengths_N: Sequence[int]) -> Iterator[list[int]]:
        """Rows in batches of like length, shortest first, within the token budget (a single text may exceed it)."""
        longest = self.max_tokens or max(lengths_N, default=0)
        order = sorted((row for row, length in enumerate(lengths_N) if length), key=lambda row: lengths_N[row])
        batch: list[int] = []
        for row in order:
            if batch and (len(batch) + 1) * min(lengths_N[row], longest) > self._spec.batch_tokens:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _rounds(self, batches: list[list[int]]) -> Iterator[list[int]]:
        """The batches to run; the sharded encoder adds what keeps its ranks in step."""
        yield from batches

    def _forward(self, texts: list[str], pooled: bool) -> dict[str, Any]:
        """Runs the module stack, or its transformer alone, in the weights' dtype even under a trainer's autocast."""
        model, device = self._model, self._model.device
        try:
            # no_grad and not inference_mode, whose tensors FSDP2 cannot gather into (no version counter).
            with torch.no_grad(), torch.autocast(device.type, enabled=False):
                features = model.preprocess(texts, prompt=self.prompt or None)
                features = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in features.items()}
                outputs: dict[str, Any] = model(features) if pooled else model[0](features)
                if pooled and model.truncate_dim is not None:
                    outputs["sentence_embedding"] = outputs["sentence_embedding"][:, : model.truncate_dim]
                return outputs
        except torch.OutOfMemoryError as error:
            raise ScorerError(
                f"encoder {self.identity} ran out of memory on {device} with {len(texts)} texts in a forward pass; "
                f"lower encoder.batch_tokens (now {self._spec.batch_tokens})"
            ) from error
