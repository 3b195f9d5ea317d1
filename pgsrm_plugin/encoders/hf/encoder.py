"""Sentence-transformers models: pooling, prompts and normalisation as their own files say, the computing ours."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

import torch
from torch.nn.utils.rnn import pad_sequence

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.check import self_test
from pgsrm_plugin.encoders.hf.cpu.engine import CpuEngine, Tail
from pgsrm_plugin.encoders.hf.load import find_model, load_model
from pgsrm_plugin.encoders.hf.tokens import ReadTexts, TextReader
from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.types import Embeddings

_CHUNK = 4096
"""Texts that are tokenised at a time; those before are computed meanwhile."""

_Results: TypeAlias = "Iterator[tuple[list[int], Sequence[torch.Tensor]]]"


class HfEncoder:
    """A frozen sentence-transformers model.

    On a CPU nothing is padded, and identical text gives identical bits within one process and with one spec, whatever
    it is embedded with (:class:`~pgsrm_plugin.encoders.hf.cpu.engine.CpuEngine`). On a GPU texts run in length-sorted
    batches of at most ``batch_tokens`` padded tokens, or unpadded where FlashAttention-2 is installed; there the last
    bits of a vector can depend on the batch, as they can for models whose first module is no transformer.

    The prompt is the spec's if it has one (``""`` means none), else the model's default prompt (``default_prompt_name``
    in its ``config_sentence_transformers.json``), else none. Query and document prompts are not used: both sides of a
    comparison are embedded alike. Pooling and what follows it are computed in float32 whatever the weights' dtype.

    It is not a ``torch.nn.Module``, so a module that holds it neither trains, moves nor saves it.

    Args:
        spec: the model and how to run it.

    Raises:
        SpecError: the model cannot be found or loaded, or ``max_tokens``, ``threads`` or the prompt do not fit it.
        ScorerError: the model fails its self-test.
    """

    _collective = False
    """Whether the ranks of a group call together, and so run the transformer in batches whose number they agree on."""

    def __init__(self, spec: HfEncoderSpec) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        source = find_model(spec.model, spec.revision)
        self._model = load_model(source, spec)
        if spec.threads is not None and self._model.device.type != "cpu":
            raise SpecError(f"encoder.threads: the encoder is on {self._model.device}; threads are for device: cpu")
        self._reader = TextReader(self._model, spec)
        self._tail = Tail(self._model, self.prompt)
        self._built: CpuEngine | None = None
        prompt = f";prompt={self.prompt!r}" if self.prompt else ""
        self.identity = f"hf:{source.name};max_tokens={self.max_tokens};dtype={spec.dtype}{prompt}"
        if spec.self_test:
            self_test(self, self._model, spec)

    def __repr__(self) -> str:
        return f"HfEncoder({self.identity!r}, device={str(self._model.device)!r})"

    @property
    def prompt(self) -> str:
        """What stands before each text."""
        return self._reader.prompt

    @property
    def max_tokens(self) -> int | None:
        """Tokens at which an input is truncated, prompt and special tokens included; None where nothing is."""
        return self._reader.max_tokens

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
        vectors_ND = torch.zeros(len(texts), self.dimensions)
        with self._lock:
            read, results = self._run(texts, pooled=True)
            for rows, vectors in results:
                vectors_ND[rows] = torch.stack(list(vectors)).cpu()
        limit = self.max_tokens
        truncated_N = torch.tensor([limit is not None and n > limit for n in read.lengths_N], dtype=torch.bool)
        unknown_N = torch.tensor([n == 0 for n in read.lengths_N], dtype=torch.bool)
        if self._reader.tokenizer is None:
            unknown_N |= ~vectors_ND.any(dim=1)
        return Embeddings(vectors_ND, torch.tensor(read.tokens_N, dtype=torch.int64), truncated_N, unknown_N)

    def token_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """The transformer's last states, (T, D) float32 a text, of the tokens of the text alone, as far as it is read.

        Raises:
            ScorerError: the model has no states of single tokens that can be told from its prompt's and template's.
        """
        if not self._reader.tells_own_tokens:
            raise ScorerError(f"encoder {self.identity} has no token states; use a transformer with a fast tokenizer")
        states: list[torch.Tensor] = [torch.zeros(0, 0)] * len(texts)
        with self._lock:
            read, results = self._run(texts, pooled=False)
            for rows, read_states in results:
                for row, state_TD in zip(rows, read_states, strict=True):
                    states[row] = state_TD[torch.tensor(read.own_N[row], dtype=torch.bool)].clone()
        width = max((state_TD.shape[1] for state_TD in states), default=0)
        return [state_TD if state_TD.shape[1] else torch.zeros(0, width) for state_TD in states]

    def _run(self, texts: Sequence[str], pooled: bool) -> tuple[ReadTexts, _Results]:
        """What the model reads; and vectors (D,), or float32 states (T, D) of what is read, with the rows they are of.

        Tokenises chunk by chunk, while the workers or the device compute the chunks before.
        """
        reads, work = [], []
        chunk = max(len(texts), 1) if self._collective else _CHUNK
        engine = self._engine()
        for start in range(0, max(len(texts), 1), chunk):
            part = list(texts[start : start + chunk])
            read = self._reader.read(part, own=not pooled)
            reads.append(read)
            if engine is None:
                started: Iterable[tuple[list[int], Any]] = self._in_batches(part, read, pooled)
            else:
                started = engine.start(self._inputs(part, read), read.lengths_N, pooled)
            work += [([start + row for row in rows], result) for rows, result in started]
        finished = ((rows, result.result() if isinstance(result, Future) else result) for rows, result in work)
        return ReadTexts.joined(reads), finished

    def _engine(self) -> CpuEngine | None:
        """The workers on a CPU, made at first use; None where the model runs in batches."""
        if self._collective or self._model.device.type != "cpu" or self._reader.tokenizer is None:
            return None
        if self._built is None:
            threads = self._spec.threads or torch.get_num_threads()
            self._built = CpuEngine(self._model, self._tail, threads, self._spec.batch_tokens)
        return self._built

    def _inputs(self, texts: Sequence[str], read: ReadTexts) -> Sequence[list[int] | dict[str, Any]]:
        if read.ids_N is not None:
            return read.ids_N
        return [self._model.preprocess([text], prompt=self.prompt or None) for text in texts]

    def _in_batches(self, texts: Sequence[str], read: ReadTexts, pooled: bool) -> _Results:
        for rows in self._rounds(list(self._batches(read.lengths_N))):
            ids = None if read.ids_N is None else [read.ids_N[row] for row in rows]
            features = self._forward([texts[row] for row in rows], pooled, ids)
            if pooled:
                yield rows, features["sentence_embedding"]
            else:
                states_NTD, masks_NT = features["token_embeddings"].float().cpu(), features["attention_mask"].cpu()
                yield rows, [state_TD[mask_T.bool()] for state_TD, mask_T in zip(states_NTD, masks_NT, strict=True)]

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

    def _forward(self, texts: list[str], pooled: bool, ids: list[list[int]] | None = None) -> dict[str, Any]:
        """Runs the module stack, or its transformer alone, in the weights' dtype even under a trainer's autocast."""
        model, device = self._model, self._model.device
        unpadded = pooled and getattr(model[0], "can_flatten_inputs", False)
        try:
            # no_grad and not inference_mode, whose tensors FSDP2 cannot gather into (no version counter).
            with torch.no_grad(), torch.autocast(device.type, enabled=False):
                if ids is None or unpadded:
                    features = model.preprocess(texts, prompt=self.prompt or None)
                else:
                    features = self._padded(ids)
                features = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in features.items()}
                outputs: dict[str, Any] = model[0](features)
                return outputs | {"sentence_embedding": self._tail(outputs)} if pooled else outputs
        except torch.OutOfMemoryError as error:
            raise ScorerError(
                f"encoder {self.identity} ran out of memory on {device} with {len(texts)} texts in a forward pass; "
                f"lower encoder.batch_tokens (now {self._spec.batch_tokens})"
            ) from error

    def _padded(self, ids: list[list[int]]) -> dict[str, Any]:
        tokenizer = self._reader.tokenizer
        side, filler = tokenizer.padding_side, tokenizer.pad_token_id or 0
        rows = [torch.tensor(row) for row in ids]
        masks = [torch.ones_like(row) for row in rows]
        return {
            "input_ids": pad_sequence(rows, batch_first=True, padding_value=filler, padding_side=side),
            "attention_mask": pad_sequence(masks, batch_first=True, padding_side=side),
            "modality": "text",
        }
