"""The BERT family's forward pass on a CPU: texts end to end without padding, fused layers on prepacked weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.functional import layer_norm, pad, scaled_dot_product_attention
from transformers import BertModel, MPNetModel, RobertaModel, XLMRobertaModel

from pgsrm_plugin.encoders.hf.cpu.linear import PackedLinear, fit_rows

LARGEST = {torch.float32: 1024, torch.bfloat16: 2048}
"""Rows of one pass by dtype, where MiniLM was measured fastest. Fixed, not measured on the spot: see PackedLinear."""

KEYS = 16
"""Attention has a multiple of so many keys, a vector register of scores: torch's kernel is much faster then."""

_GROUP_TOKENS = 256
"""The most tokens of texts that share an attention call: beyond, a call saves nothing and leaves the core's cache."""


@dataclass(frozen=True)
class _Run:
    """Texts of equal length, end to end, from row ``start`` on; ``mask`` is None where nothing is to be added."""

    start: int
    count: int
    length: int
    mask: torch.Tensor | None = None

    @property
    def keys(self) -> int:
        """Keys of each text. Those past its length are rows of its neighbour; the mask gives them a weight of 0."""
        return -(-self.length // KEYS) * KEYS

    @property
    def end(self) -> int:
        """One past the last row that is read."""
        return self.start + (self.count - 1) * self.length + self.keys


@dataclass(frozen=True)
class _Layer:
    qkv: PackedLinear
    out: PackedLinear
    attention_norm: nn.LayerNorm
    up: PackedLinear
    down: PackedLinear
    norm: nn.LayerNorm


class PackedNetwork:
    """A frozen BERT, RoBERTa, XLM-R or MPNet: token ids of many texts in, each text's last states out.

    A text's states are the same, bit for bit, whatever other texts are in the pass: linear layers compute row by row
    (:class:`~pgsrm_plugin.encoders.hf.cpu.linear.PackedLinear`), attention text by text. It holds a second copy of the
    layers' weights, in oneDNN's layout.

    Args:
        network: the transformers model; see :func:`can_pack`.
        largest: the most rows of one product; None: that of :data:`LARGEST`.

    Raises:
        RuntimeError: oneDNN cannot do it here.
    """

    def __init__(self, network: nn.Module, largest: int | None = None) -> None:
        config: Any = network.config
        embeddings: Any = network.embeddings
        self.dtype: torch.dtype = embeddings.word_embeddings.weight.dtype
        self.largest = largest or LARGEST[self.dtype]
        self._heads = int(config.num_attention_heads)
        self._words_VD = embeddings.word_embeddings.weight.detach()
        self._positions_LD = embeddings.position_embeddings.weight.detach().float()
        self._segments_SD: torch.Tensor | None = None
        if hasattr(embeddings, "token_type_embeddings"):
            types_SD = embeddings.token_type_embeddings.weight.detach().float()
            self._positions_LD = self._positions_LD + types_SD[0]
            self._segments_SD = types_SD - types_SD[0]
        self._norm: nn.LayerNorm = embeddings.LayerNorm
        self._padding: int | None = None if isinstance(network, BertModel) else int(embeddings.padding_idx)
        self._bias_HR = _relative_bias(network)
        self._layers = [self._pack(layer) for layer in network.encoder.layer]  # type: ignore[union-attr]

    def __call__(
        self, ids: Sequence[torch.Tensor], segments: Sequence[torch.Tensor] | None = None
    ) -> list[torch.Tensor]:
        """The last states, (T, D) of the weights' dtype, of each text's token ids (T,), none of them empty.

        ``segments`` are the token types, (T,) each, of a model that has them; without, all are of the first.

        Texts of equal length that stand side by side share an attention call.
        """
        x_MD, runs = self._embed(ids, segments)
        for layer in self._layers:
            x_MD = self._run(layer, x_MD, runs)
        return _split(x_MD, ids)

    def _embed(
        self, ids: Sequence[torch.Tensor], segments: Sequence[torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, list[_Run]]:
        """The rows before the first layer and their runs: words and positions, added and normalised in float32.

        Rows of zeros fill up to one of the layers' sizes, and to the keys of the last texts.
        """
        runs = [replace(run, mask=self._mask(run)) for run in _runs([len(text) for text in ids])]
        rows = fit_rows(max(run.end for run in runs), self.largest)
        ids_M = torch.cat(list(ids))
        positions_M = torch.cat([self._positions(text) for text in ids])
        sum_MD = self._words_VD[ids_M].float().add_(self._positions_LD[positions_M])
        if segments is not None:
            assert self._segments_SD is not None
            sum_MD.add_(self._segments_SD[torch.cat(list(segments))])
        norm = self._norm
        assert norm.weight is not None
        x_MD = torch.zeros(rows, sum_MD.shape[1], dtype=self.dtype)
        x_MD[: len(ids_M)] = layer_norm(sum_MD, norm.normalized_shape, norm.weight.float(), norm.bias.float(), norm.eps)
        return x_MD, runs

    def _positions(self, ids_T: torch.Tensor) -> torch.Tensor:
        """BERT counts from 0. RoBERTa and MPNet count from ``padding + 1``, and leave padding tokens in a text out."""
        if self._padding is None:
            return torch.arange(len(ids_T))
        counted_T = ids_T.ne(self._padding).long()
        return counted_T.cumsum(0) * counted_T + self._padding

    def _mask(self, run: _Run) -> torch.Tensor | None:
        """What is added to the scores: (1, 1, 1, K), or (1, H, T, K) with MPNet's relative positions. Float32."""
        beyond = (0, run.keys - run.length)
        if self._bias_HR is None:
            return pad(torch.zeros(1, 1, 1, run.length), beyond, value=-math.inf) if beyond[1] else None
        centre = self._bias_HR.shape[1] // 2
        around_HR = self._bias_HR[:, centre - run.length + 1 : centre + run.length]
        return pad(around_HR.unfold(1, run.length, 1).flip(1)[None], beyond, value=-math.inf)

    def _run(self, layer: _Layer, x_MD: torch.Tensor, runs: Sequence[_Run]) -> torch.Tensor:
        qkv_ME = layer.qkv(x_MD)
        mixed = [self._attend(qkv_ME, run) for run in runs]
        context_MD = torch.cat([*mixed, x_MD.new_zeros(len(x_MD) - sum(map(len, mixed)), x_MD.shape[1])])
        x_MD = _normalised(layer.out(context_MD, x_MD), layer.attention_norm)
        return _normalised(layer.down(layer.up(x_MD), x_MD), layer.norm)

    def _attend(self, qkv_ME: torch.Tensor, run: _Run) -> torch.Tensor:
        """The context (count * length, D) of a run's texts, from rows of queries, keys and values side by side."""
        row = qkv_ME.shape[1]
        width = row // 3
        channels = width // self._heads
        # Views, for copies of queries, keys and values would cost as much as the products; keys reach into the next
        # text's rows, up to a whole vector register of scores, and the mask takes them out.
        strides = (run.length * row, channels, row, 1)
        query, key, value = (
            qkv_ME.as_strided((run.count, self._heads, tokens, channels), strides, run.start * row + at * width)
            for at, tokens in enumerate((run.length, run.keys, run.keys))
        )
        mixed_NHTC = scaled_dot_product_attention(query, key, value, attn_mask=run.mask)
        return mixed_NHTC.transpose(1, 2).reshape(-1, width)

    def _pack(self, layer: Any) -> _Layer:
        attention = layer.attention
        if hasattr(attention, "attn"):  # MPNet
            inner = attention.attn
            parts, out, norm = (inner.q, inner.k, inner.v), inner.o, attention.LayerNorm
        else:
            inner = attention.self
            parts, out, norm = (inner.query, inner.key, inner.value), attention.output.dense, attention.output.LayerNorm
        up, down = layer.intermediate.dense, layer.output.dense
        return _Layer(
            qkv=PackedLinear(
                torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts]), self.largest
            ),
            out=PackedLinear(out.weight, out.bias, self.largest, "add"),
            attention_norm=norm,
            up=PackedLinear(up.weight, up.bias, self.largest, "gelu"),
            down=PackedLinear(down.weight, down.bias, self.largest, "add"),
            norm=layer.output.LayerNorm,
        )


def can_pack(network: object) -> bool:
    """Whether :class:`PackedNetwork` computes what this transformers model computes."""
    if type(network) not in (BertModel, RobertaModel, XLMRobertaModel, MPNetModel):
        return False
    config: Any = network.config  # type: ignore[attr-defined]
    relative = getattr(config, "position_embedding_type", "absolute") != "absolute"
    decoder = getattr(config, "is_decoder", False) or getattr(config, "add_cross_attention", False)
    return config.hidden_act == "gelu" and not relative and not decoder


def _normalised(x_MD: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    return layer_norm(x_MD, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _split(x_MD: torch.Tensor, ids: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The states of each text."""
    lengths = [len(text) for text in ids]
    return list(torch.split(x_MD[: sum(lengths)], lengths))


def _runs(lengths: Sequence[int]) -> Iterator[_Run]:
    """Texts of equal length that stand side by side, at most :data:`_GROUP_TOKENS` together."""
    start = 0
    for length, group in itertools.groupby(lengths):
        left = len(list(group))
        while left:
            count = min(left, max(1, _GROUP_TOKENS // length))
            yield _Run(start, count, length)
            start += count * length
            left -= count


def _relative_bias(network: nn.Module) -> torch.Tensor | None:
    """MPNet's bias (H, 2L - 1) of every distance from -(L - 1) to L - 1; None for models without."""
    if not isinstance(network, MPNetModel):
        return None
    encoder: Any = network.encoder
    distance_R = torch.arange(network.config.max_position_embeddings).flip(0).neg()
    distance_R = torch.cat([distance_R, -distance_R.flip(0)[1:]])
    bucket: Callable[[torch.Tensor], torch.Tensor] = encoder.relative_position_bucket
    table: torch.Tensor = encoder.relative_attention_bias.weight.detach()
    return table[bucket(distance_R)].T.float().contiguous()
