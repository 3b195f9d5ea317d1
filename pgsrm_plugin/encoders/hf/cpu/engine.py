"""The engine of the hf encoder on a CPU: one core a worker, no padding, and the same bits for a text in any company."""

from __future__ import annotations

import bisect
import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeAlias

import torch
from sentence_transformers import SentenceTransformer
from torch import nn

from pgsrm_plugin.encoders.hf.cpu.linear import ROWS, is_supported
from pgsrm_plugin.encoders.hf.cpu.packed import KEYS, LARGEST, PackedNetwork, can_pack
from pgsrm_plugin.encoders.hf.cpu.threads import submit

Input: TypeAlias = "list[int] | dict[str, Any]"
"""A text's token ids, or what the model's own preprocessing made of it where there are none."""


class Wanted(NamedTuple):
    """What is asked of a forward pass."""

    vectors: bool = False
    states: bool = False


class Computed(NamedTuple):
    """What a forward pass gives of one text, float32: its vector (D,) and its states (T, D), None if not wanted."""

    vector_D: torch.Tensor | None = None
    states_TD: torch.Tensor | None = None


Task: TypeAlias = "tuple[list[int], Future[list[Computed]]]"
"""Rows, and what becomes of each."""

_PASS_TOKENS = 2048
"""Tokens of one task of the workers for models that read text by text."""


class Tail:
    """What follows the transformer (pooling, dense layers, normalisation), in float32 whatever the weights' dtype.

    Args:
        model: its modules but the first are copied.
        prompt: what stands before each text; some poolings leave it out.
    """

    def __init__(self, model: SentenceTransformer, prompt: str) -> None:
        self._modules = [copy.deepcopy(module).float() for module in list(model.children())[1:]]
        self._truncate_dim: int | None = model.truncate_dim
        self._prompt = {}
        if prompt and any(getattr(module, "include_prompt", True) is False for module in self._modules):
            self._prompt = {"prompt_length": model.preprocess(["."], prompt=prompt)["prompt_length"]}

    def __call__(self, features: dict[str, Any]) -> torch.Tensor:
        """The vectors (N, D), float32, of the transformer's output."""
        features = features | self._prompt
        for name in ("token_embeddings", "sentence_embedding"):
            if name in features:
                features[name] = features[name].float()
        for module in self._modules:
            features = module(features)
        vectors_ND: torch.Tensor = features["sentence_embedding"]
        return vectors_ND[:, : self._truncate_dim]

    def pool(self, states_TD: torch.Tensor) -> torch.Tensor:
        """The vector (D,) of one text's states."""
        mask_1T = torch.ones(1, len(states_TD), dtype=torch.long)
        return self({"token_embeddings": states_TD[None], "attention_mask": mask_1T})[0]

    def finish(self, states_TD: torch.Tensor, wanted: Wanted) -> Computed:
        """What is wanted of one text's states."""
        return Computed(self.pool(states_TD) if wanted.vectors else None, states_TD.float() if wanted.states else None)


class CpuEngine:
    """Embeds texts on a CPU; each text's result is the same, bit for bit, whatever it is embedded with.

    BERT, RoBERTa, XLM-R and MPNet run as :class:`~pgsrm_plugin.encoders.hf.cpu.packed.PackedNetwork`. Other models run
    as they are, one text in a forward pass. Either way each worker thread computes with one core.

    Args:
        model: the model in eval mode, on the CPU.
        tail: what follows its transformer.
        threads: number of workers.
        batch_tokens: the most tokens in a forward pass, unless a single text has more.
    """

    def __init__(self, model: SentenceTransformer, tail: Tail, threads: int, batch_tokens: int) -> None:
        self._model = model
        self._tail = tail
        self._threads = threads
        network: Any = getattr(model[0], "model", None)
        self._packed = submit(threads, pack, network, batch_tokens).result() if can_pack(network) else None
        self._largest = min(batch_tokens, _PASS_TOKENS) if self._packed is None else self._packed.largest

    @property
    def packed(self) -> bool:
        """Whether the model runs on prepacked weights."""
        return self._packed is not None

    def start(self, inputs: Sequence[Input], lengths_N: Sequence[int], wanted: Wanted) -> list[Task]:
        """Sends the inputs to the workers, longest first; ``lengths_N`` are their token counts, 0 for those to skip.

        Returns:
            Rows of ``inputs``, and what becomes of them.
        """
        rows = [row for row, length in enumerate(lengths_N) if length]
        share = sum(lengths_N[row] for row in rows) // (2 * self._threads)
        budget = max((size for size in ROWS if size <= min(share, self._largest)), default=ROWS[0])
        passes = fill([lengths_N[row] for row in rows], budget - KEYS + 1)
        work = [[rows[i] for i in one] for one in passes]
        return [(one, submit(self._threads, self._run, [inputs[row] for row in one], wanted)) for one in work]

    def _run(self, inputs: Sequence[Input], wanted: Wanted) -> list[Computed]:
        if self._packed is not None:
            states = self._packed([torch.tensor(ids, dtype=torch.long) for ids in inputs])
            return [self._tail.finish(state_TD, wanted) for state_TD in states]
        return [self._run_one(one, wanted) for one in inputs]

    def _run_one(self, one: Input, wanted: Wanted) -> Computed:
        if isinstance(one, list):
            ids_1T = torch.tensor([one])
            one = {"input_ids": ids_1T, "attention_mask": torch.ones_like(ids_1T), "modality": "text"}
        features = self._model[0](one)
        states_TD = features["token_embeddings"][0].float() if wanted.states else None
        return Computed(self._tail(features)[0] if wanted.vectors else None, states_TD)


def fill(lengths_N: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Rows in passes of at most ``budget`` tokens (a longer text is alone): the longest, then the longest that fit."""
    order = sorted(range(len(lengths_N)), key=lambda row: (lengths_N[row], row))
    lengths = [lengths_N[row] for row in order]
    while order:
        rows, room = [order.pop()], budget - lengths.pop()
        while at := bisect.bisect_right(lengths, room):
            rows.append(order.pop(at - 1))
            room -= lengths.pop(at - 1)
        yield rows


def pack(network: nn.Module, batch_tokens: int) -> PackedNetwork | None:
    """The network on prepacked weights; None where oneDNN cannot do that."""
    dtype = next(network.parameters()).dtype
    if not is_supported(dtype):
        return None
    largest = max(rows for rows in ROWS if rows <= min(LARGEST[dtype], batch_tokens))
    try:
        return PackedNetwork(network, largest)
    except RuntimeError:
        return None
