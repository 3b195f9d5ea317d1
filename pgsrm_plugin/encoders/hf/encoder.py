"""Sentence-transformers models: pooling, prompts and normalisation as their own files say, the computing ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.hf.check import self_test
from pgsrm_plugin.encoders.hf.cpu.engine import Computed, Tail, Wanted
from pgsrm_plugin.encoders.hf.load import find_model, load_model
from pgsrm_plugin.encoders.hf.pieces import pieces_of
from pgsrm_plugin.encoders.hf.runners import LoadedModel, Runner, fastest
from pgsrm_plugin.encoders.hf.tokens import ReadTexts, TextReader
from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.types import Embeddings

_CHUNK = 4096
"""Texts that are tokenised at a time; those before are computed meanwhile."""


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
        runner: what runs the model; the fastest there is.

    Raises:
        SpecError: the model cannot be found or loaded, or ``max_tokens``, ``threads`` or the prompt do not fit it.
        ScorerError: the model fails its self-test.
    """

    def __init__(self, spec: HfEncoderSpec, runner: Callable[[LoadedModel], Runner] = fastest) -> None:
        self._lock = threading.Lock()
        source = find_model(spec.model, spec.revision)
        model = load_model(source, spec)
        if spec.threads is not None and model.device.type != "cpu":
            raise SpecError(f"encoder.threads: the encoder is on {model.device}; threads are for device: cpu")
        reader = TextReader(model, spec)
        prompt = f";prompt={reader.prompt!r}" if reader.prompt else ""
        self.identity = f"hf:{source.name};max_tokens={reader.max_tokens};dtype={spec.dtype}{prompt}"
        self._loaded = LoadedModel(spec, self.identity, model, reader, Tail(model, reader.prompt))
        self.vocabulary = pieces_of(model.tokenizer)
        self._runner = runner(self._loaded)
        if spec.self_test:
            self_test(self, model, spec)

    def __repr__(self) -> str:
        return f"HfEncoder({self.identity!r}, device={str(self._model.device)!r})"

    @property
    def _model(self) -> SentenceTransformer:
        return self._loaded.model

    @property
    def prompt(self) -> str:
        """What stands before each text."""
        return self._loaded.reader.prompt

    @property
    def max_tokens(self) -> int | None:
        """Tokens at which an input is truncated, prompt and special tokens included; None where nothing is."""
        return self._loaded.reader.max_tokens

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
        return self._compute(texts, Wanted(vectors=True))[0]

    def token_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """The transformer's last states, (T, D) float32 a text, of the tokens of the text alone, as far as it is read.

        Raises:
            ScorerError: the model has no states of single tokens that can be told from its prompt's and template's.
        """
        return self._compute(texts, Wanted(states=True))[1]

    def encode_with_states(self, texts: Sequence[str]) -> tuple[Embeddings, list[torch.Tensor]]:
        """What :meth:`encode` and :meth:`token_states` give, in one pass; on a CPU with the same bits."""
        return self._compute(texts, Wanted(vectors=True, states=True))

    def _compute(self, texts: Sequence[str], wanted: Wanted) -> tuple[Embeddings, list[torch.Tensor]]:
        """Vectors and states; zeros and empty ones where they are not wanted."""
        if wanted.states and not self._loaded.reader.tells_own_tokens:
            raise ScorerError(f"encoder {self.identity} has no token states; use a transformer with a fast tokenizer")
        vectors_ND = torch.zeros(len(texts), self.dimensions)
        states = [torch.zeros(0, 0)] * len(texts)
        with self._lock:
            read, results = self._run(texts, wanted)
            for row, computed in results:
                if computed.vector_D is not None:
                    vectors_ND[row] = computed.vector_D
                if computed.states_TD is not None:
                    # numpy: for one text's states torch would start all its threads, at many times the cost.
                    own_TD = computed.states_TD.numpy()[np.array(read.own_N[row], dtype=bool)]
                    states[row] = torch.from_numpy(own_TD)
        width = max((state_TD.shape[1] for state_TD in states), default=0)
        states = [state_TD if state_TD.shape[1] else torch.zeros(0, width) for state_TD in states]
        return self._embeddings(read, vectors_ND), states

    def _embeddings(self, read: ReadTexts, vectors_ND: torch.Tensor) -> Embeddings:
        limit = self.max_tokens
        truncated_N = torch.tensor([limit is not None and n > limit for n in read.lengths_N], dtype=torch.bool)
        empty_N = torch.tensor([n == 0 for n in read.lengths_N], dtype=torch.bool)
        unknown_N = empty_N | torch.tensor(read.unknown_N, dtype=torch.bool)
        if self._loaded.reader.tokenizer is None:
            unknown_N |= ~vectors_ND.any(dim=1)
        return Embeddings(vectors_ND, torch.tensor(read.tokens_N, dtype=torch.int64), truncated_N, unknown_N)

    def _run(self, texts: Sequence[str], wanted: Wanted) -> tuple[ReadTexts, Iterator[tuple[int, Computed]]]:
        """What the model reads; and what it computes, with the row that it is of.

        Tokenises chunk by chunk, while the workers or the device compute the chunks before.
        """
        reads, work = [], []
        chunk = max(len(texts), 1) if self._runner.whole_calls else _CHUNK
        for start in range(0, max(len(texts), 1), chunk):
            part = list(texts[start : start + chunk])
            read = self._loaded.reader.read(part, own=wanted.states)
            reads.append(read)
            work += [([start + row for row in rows], result) for rows, result in self._runner.start(part, read, wanted)]
        finished = (
            one
            for rows, result in work
            for one in zip(rows, result.result() if isinstance(result, Future) else result, strict=True)
        )
        return ReadTexts.joined(reads), finished
