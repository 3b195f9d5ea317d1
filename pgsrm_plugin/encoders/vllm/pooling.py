"""Sentence-transformers models on vLLM's pooling runner, offline and in this process's engine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers import PreTrainedTokenizerBase

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.check import self_test
from pgsrm_plugin.encoders.hf.encoder import HfEncoder
from pgsrm_plugin.encoders.hf.load import find_model
from pgsrm_plugin.encoders.vllm import VllmEncoderSpec
from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.types import Embeddings


class VllmEncoder:
    """A frozen sentence-transformers model that vLLM runs; prompt, tokens and truncation are those of kind ``hf``.

    vLLM is given token ids, so that it cannot truncate elsewhere than sentence-transformers. Pooling and normalisation
    are what vLLM reads in the model's files; the self-test compares them with sentence-transformers' own. For that the
    whole model is loaded on the CPU once, and let go.

    Args:
        spec: the model and how to run it.

    Raises:
        SpecError: vLLM is not installed or cannot run the model; the model cannot be found or loaded, or has no
            tokenizer of its own; ``max_tokens`` or the prompt do not fit it.
        ScorerError: the model fails its self-test.
    """

    def __init__(self, spec: VllmEncoderSpec) -> None:
        try:
            from vllm import LLM
        except ImportError as error:
            raise SpecError(
                f"encoder.kind: vllm needs vLLM: pip install 'pgsrm-plugin[vllm]' ({error}); or use kind: hf"
            ) from error
        self._lock = threading.Lock()
        shared = spec.model_dump(include={"model", "revision", "dtype", "prompt", "max_tokens"})
        hf_spec = HfEncoderSpec(**shared, device="cpu", self_test=False)
        whole = HfEncoder(hf_spec)
        self.prompt, self.max_tokens = whole.prompt, whole.max_tokens
        self.dimensions = whole.dimensions
        self.identity = "vllm:" + whole.identity.removeprefix("hf:")
        tokenizer = whole._model.tokenizer
        if not isinstance(tokenizer, PreTrainedTokenizerBase) or "message" in getattr(whole._model, "modalities", ()):
            raise SpecError(f"encoder.model: {spec.model} is no plain transformer with a tokenizer; use kind: hf")
        self._tokenizer: Any = tokenizer
        self._llm = _start(LLM, spec, whole.max_tokens)
        if spec.self_test:
            self_test(self, whole._model, hf_spec)

    def __repr__(self) -> str:
        return f"VllmEncoder({self.identity!r})"

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """One vector a text, in order; see :meth:`pgsrm_plugin.encoders.hf.encoder.HfEncoder.encode`.

        Raises:
            ScorerError: the engine failed.
        """
        with self._lock:
            whole_N, tokens_N = self._tokenize(texts)
            read_N = self._truncate(texts, whole_N)
            rows = [row for row, ids in enumerate(read_N) if ids]
            vectors_ND = torch.zeros(len(texts), self.dimensions)
            if rows:
                vectors_ND[rows] = self._embed([read_N[row] for row in rows])
        truncated = [len(read) < len(whole) for read, whole in zip(read_N, whole_N, strict=True)]
        return Embeddings(
            vectors_ND,
            torch.tensor(tokens_N, dtype=torch.int64),
            torch.tensor(truncated, dtype=torch.bool),
            torch.tensor([not ids for ids in read_N], dtype=torch.bool),
        )

    def _tokenize(self, texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """The ids of each whole input, and how many tokens are the text's: not special, and not inside the prompt."""
        if not texts:
            return [], []
        offsets = bool(self.prompt) and self._tokenizer.is_fast
        encoding = self._tokenizer(
            [self.prompt + text for text in texts],
            truncation=False,
            return_special_tokens_mask=True,
            return_offsets_mapping=offsets,
            verbose=False,
        )
        if self.prompt and not offsets:
            return encoding["input_ids"], [-1] * len(texts)
        spans_N = encoding["offset_mapping"] if offsets else [[(0, 1)] * len(ids) for ids in encoding["input_ids"]]
        own_N = [
            sum(not flag and end > len(self.prompt) * offsets for flag, (_, end) in zip(special, spans, strict=True))
            for special, spans in zip(encoding["special_tokens_mask"], spans_N, strict=True)
        ]
        return encoding["input_ids"], own_N

    def _truncate(self, texts: Sequence[str], whole_N: Sequence[list[int]]) -> list[list[int]]:
        """The ids that are read: the tokenizer cuts the text, and keeps the special tokens around it."""
        if self.max_tokens is None:
            return list(whole_N)
        return [
            ids
            if len(ids) <= self.max_tokens
            else self._tokenizer(self.prompt + text, truncation=True, max_length=self.max_tokens)["input_ids"]
            for text, ids in zip(texts, whole_N, strict=True)
        ]

    def _embed(self, ids_N: Sequence[list[int]]) -> torch.Tensor:
        try:
            outputs = self._llm.embed([{"prompt_token_ids": ids} for ids in ids_N], use_tqdm=False)
            vectors_ND = torch.tensor([output.outputs.embedding for output in outputs], dtype=torch.float32)
        except Exception as error:
            raise ScorerError(
                f"encoder {self.identity} failed: vLLM says {type(error).__name__}: {str(error)[:400]}"
            ) from error
        return vectors_ND[:, : self.dimensions]


def _start(llm: Any, spec: VllmEncoderSpec, max_tokens: int | None) -> Any:
    """The engine, on the very files that the reference was loaded from."""
    source = find_model(spec.model, spec.revision)
    location = source.location
    if source.revision is not None:
        location = snapshot_download(location, revision=source.revision, local_files_only=True)
    try:
        return llm(
            model=location,
            runner="pooling",
            dtype=spec.dtype,
            max_model_len=max_tokens,
            max_num_batched_tokens=max(spec.batch_tokens, max_tokens or 0),
            tensor_parallel_size=spec.tensor_parallel,
            gpu_memory_utilization=spec.gpu_memory,
            enforce_eager=spec.eager,
            trust_remote_code=False,
            disable_log_stats=True,
        )
    except Exception as error:
        raise SpecError(
            f"encoder.model {spec.model!r} cannot be run by vLLM: {type(error).__name__}: {str(error)[:400]}; "
            "use kind: hf"
        ) from error
