"""The CPU engine of a sharded encoder: each layer is gathered and packed once a round, and all texts run through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from pgsrm_plugin.encoders.hf.cpu.engine import Computed, Tail, Wanted, fill
from pgsrm_plugin.encoders.hf.cpu.linear import ROWS, is_supported
from pgsrm_plugin.encoders.hf.cpu.packed import KEYS, LARGEST, PackedNetwork, _split, can_pack
from pgsrm_plugin.encoders.hf.tokens import ReadTexts

_PASSES = 4
"""A round has so many times ``batch_tokens``: between layers a token is one row, far smaller than what a pass needs."""


class StreamedEngine:
    """As :class:`~pgsrm_plugin.encoders.hf.cpu.engine.CpuEngine`, over the ranks of a group.

    Gathering a layer costs the same for one token and for a thousand. So a rank's texts go through a layer pass after
    pass before the next layer is gathered, in as few rounds as fit, and what is in memory is one layer, whole, and a
    row a token. The ranks agree on the number of rounds; one that is out of work gathers with the others.

    Args:
        network: the transformers model, an FSDP2 module whose layers are FSDP2 modules too.
        tail: what follows it.
        batch_tokens: the most tokens in a forward pass, unless a single text has more.
        agree: the greatest of what each rank passes.
    """

    def __init__(self, network: nn.Module, tail: Tail, batch_tokens: int, agree: Callable[[int], int]) -> None:
        self._network: Any = network
        self._tail = tail
        self._agree = agree
        self._largest = largest_pass(network, batch_tokens)
        self._round = _PASSES * batch_tokens

    whole_calls = True

    def start(self, texts: Sequence[str], read: ReadTexts, wanted: Wanted) -> list[tuple[list[int], list[Computed]]]:
        """Rows of the texts, and what is wanted of them. Collective."""
        assert read.ids_N is not None  # models of BERT's family read plain token ids
        inputs, lengths_N = read.ids_N, read.lengths_N
        rows = [row for row, length in enumerate(lengths_N) if length]
        rounds = [[rows[i] for i in one] for one in fill([lengths_N[row] for row in rows], self._round)]
        done = []
        for number in range(self._agree(len(rounds))):
            mine = rounds[number] if number < len(rounds) else []
            passes = [
                [mine[i] for i in one] for one in fill([lengths_N[row] for row in mine], self._largest - KEYS + 1)
            ]
            ids = [[torch.tensor(inputs[row], dtype=torch.long) for row in one] for one in passes]
            with torch.no_grad(), torch.autocast("cpu", enabled=False):  # FSDP2 cannot gather in inference mode
                for one, states in zip(passes, self._stream(ids), strict=True):
                    done.append((one, [self._tail.finish(states_TD, wanted) for states_TD in states]))
        return done

    def _stream(self, passes: Sequence[Sequence[torch.Tensor]]) -> list[list[torch.Tensor]]:
        network = self._network
        # By hand, for FSDP2's own hooks would gather a layer for each pass; every rank makes the same calls in order.
        network.unshard()
        plan = _LaterPacked(network, self._largest)
        states: list[list[Any]] = [list(plan._embed(ids)) for ids in passes]
        network.reshard()
        for layer in network.encoder.layer:
            layer.unshard()
            plan.run_layer(layer, states)
            layer.reshard()
        return [_split(x_MD, ids) for (x_MD, _), ids in zip(states, passes, strict=True)]


class _LaterPacked(PackedNetwork):
    """A network whose embeddings are at hand, and whose layers are packed when it is their turn."""

    def _pack(self, layer: Any) -> Any:
        return layer

    def run_layer(self, layer: nn.Module, states: Sequence[list[Any]]) -> None:
        """Every pass through a layer that is whole for the moment, in place."""
        packed = super()._pack(layer)
        for state in states:
            state[0] = self._run(packed, *state)


def can_stream(network: nn.Module, batch_tokens: int) -> bool:
    """Whether this process can run the (whole, not yet sharded) network so."""
    if not can_pack(network) or not is_supported(next(network.parameters()).dtype):
        return False
    try:
        plan = _LaterPacked(network, largest_pass(network, batch_tokens))
        plan.run_layer(network.encoder.layer[0], [])  # type: ignore[union-attr, index, arg-type]
    except RuntimeError:
        return False
    return True


def largest_pass(network: nn.Module, batch_tokens: int) -> int:
    """The most rows of one product."""
    return max(rows for rows in ROWS if rows <= min(LARGEST[next(network.parameters()).dtype], batch_tokens))
