"""A model of the reward phase's time and memory on many GPUs; `python scripts/scale.py` prints its tables.

Nothing here is measured but DRIVER_S_PER_* and TOKENISE_PER_S, which scale_measure.py measured on 2 cores without a
GPU. Units: seconds, bytes, floating-point operations, tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_verl.colocated.memory import GIB, EncoderSize, plan_memory

DRIVER_S_PER_ROW, DRIVER_S_PER_NUMBER = 46e-6, 29e-9
"""The trainer's process, for one row and for each number of its vector: clean, look up, compose. Measured."""
TOKENISE_PER_S = 520_000
"""Tokens that one core tokenises in a second (MiniLM's tokenizer). Measured."""
ROWS_PER_GPU, TOKENS_PER_TEXT, GROUP = 256, 256, 8
"""A step: responses a GPU, tokens in a response or reference, responses to one reference. All responses differ."""
GPUS_PER_NODE = 8


@dataclass(frozen=True)
class Network:
    """An encoder's shape. ``gated``: Qwen3's layer (three feed-forward matrices, no biases), else BERT's."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    gated: bool = True
    heads: int = 0
    key_heads: int = 0
    head: int = 128
    positions: int = 512
    dtype: str = "bfloat16"

    @property
    def attention(self) -> int:
        """Width of the queries."""
        return self.heads * self.head if self.gated else self.hidden

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        d, f = self.hidden, self.intermediate
        if not self.gated:
            return 4 * (d * d + d) + 2 * d * f + f + d + 4 * d
        return 2 * d * self.attention + 2 * d * self.key_heads * self.head + 3 * d * f + 2 * self.head + 2 * d

    @property
    def rest(self) -> int:
        """Parameters outside the layers: embeddings, and a norm (Qwen3) or a norm and a pooler (BERT)."""
        d = self.hidden
        if self.gated:
            return self.vocabulary * d + d
        return (self.vocabulary + self.positions + 2) * d + 2 * d + d * d + d

    @property
    def size(self) -> EncoderSize:
        """The counts that the memory check works with."""
        return EncoderSize(self.layers * self.layer + self.rest, self.layer, self.rest, self.hidden, self.intermediate)

    @property
    def element(self) -> int:
        """Bytes of a parameter."""
        return 4 if self.dtype == "float32" else 2

    def flops(self, tokens: float, length: float) -> float:
        """Of a forward pass over texts of equal length: two for a parameter and token, and attention's two products."""
        return tokens * (2 * self.layers * self.layer + 4 * self.layers * self.attention * length)


@dataclass(frozen=True)
class Machine:
    """What a rank can do. The defaults are assumptions: an H100 SXM at 40 % of 989 TFLOP/s, NVLink, 400 Gbit/s a GPU.

    Attributes:
        host_s: Python and kernel launches for a layer, below which a forward pass does not go.
        bandwidth, latency: of a ring's step, inside a node.
        far_bandwidth, far_latency: between nodes.
        overlap: whether the next layer is gathered while this one computes.
        wire: bytes a second between the ranks and the trainer's process, which all share.
    """

    flops: float = 0.4 * 989e12
    host_s: float = 5e-4
    bandwidth: float = 300e9
    latency: float = 2e-6
    far_bandwidth: float = 40e9
    far_latency: float = 5e-6
    overlap: bool = True
    wire: float = 1e9

    def gather(self, size: float, ranks: int) -> float:
        """Seconds for an all-gather of ``size`` bytes in all, in a ring."""
        near = ranks <= GPUS_PER_NODE
        bandwidth, latency = (self.bandwidth, self.latency) if near else (self.far_bandwidth, self.far_latency)
        return (ranks - 1) * (size / ranks / bandwidth + latency)


def forward(net: Network, machine: Machine, tokens: float, length: float, ranks: int, shard: bool) -> float:
    """Seconds of one batch on one rank."""
    compute = max(net.flops(tokens, length) / machine.flops, net.layers * machine.host_s)
    if not shard or ranks == 1:
        return compute
    layers = net.layers * machine.gather(net.layer * net.element, ranks)
    rest = machine.gather(net.rest * net.element, ranks)
    return rest + (max(compute, layers) if machine.overlap else compute + layers)


def encode_seconds(net: Network, machine: Machine, texts: int, ranks: int, shard: bool, batch_tokens: int) -> float:
    """Seconds for a rank's share: tokenising, then whole batches (the last one may be smaller)."""
    per_batch = max(1, batch_tokens // TOKENS_PER_TEXT)
    full, left = divmod(texts, per_batch)
    batches = [per_batch] * full + [left] * (left > 0)
    tokenise = 2 * texts * TOKENS_PER_TEXT / TOKENISE_PER_S  # once to sort by length, once to run
    return tokenise + sum(forward(net, machine, n * TOKENS_PER_TEXT, TOKENS_PER_TEXT, ranks, shard) for n in batches)


def driver_seconds(net: Network, machine: Machine, rows: int) -> float:
    """The trainer's process: vectors (float32) and texts (4 bytes a token) over the wire, and each row composed."""
    texts = rows + rows // GROUP
    return texts * (4 * net.hidden + 4 * TOKENS_PER_TEXT) / machine.wire + rows * (
        DRIVER_S_PER_ROW + DRIVER_S_PER_NUMBER * net.hidden
    )


def free_batch(net: Network, machine: Machine, ranks: int) -> int:
    """Tokens a batch from which sharding costs no time beyond the embeddings' gather: compute covers the layers'."""
    gather = net.layers * machine.gather(net.layer * net.element, ranks)
    return ceil(gather * machine.flops / net.flops(1, TOKENS_PER_TEXT))


NETWORKS = (
    Network("MiniLM 22.7M", 6, 384, 1536, 30522, gated=False, dtype="float32"),
    Network("0.6B", 28, 1024, 3072, 151669, heads=16, key_heads=8),
    Network("8B", 36, 4096, 12288, 151665, heads=32, key_heads=8),
)
GPUS = (8, 64, 1024)


def memory_table(batch_tokens: int = 16384) -> Iterator[str]:
    """GiB on each rank, as the check before training computes them."""
    yield "| encoder | GPUs | replicate: between steps, peak | shard: between steps, peak | shard saves |"
    yield "|---|---|---|---|---|"
    for net in NETWORKS:
        spec = HfEncoderSpec(model=net.name, dtype=net.dtype, batch_tokens=batch_tokens)  # type: ignore[arg-type]
        for ranks in GPUS:
            copy, part = (plan_memory(net.size, spec, place, False, ranks) for place in ("replicate", "shard"))
            cells = [f"{plan.resident / GIB:.3f}, {plan.peak / GIB:.2f}" for plan in (copy, part)]
            saved = (copy.resident - part.resident) / GIB
            yield f"| {net.name} | {ranks:,} | {cells[0]} | {cells[1]} | {saved:.2f} |"


def time_table(batch_tokens: int = 16384) -> Iterator[str]:
    """Seconds of a step's reward phase."""
    machine = Machine()
    yield "| encoder | GPUs | rows | ranks, replicate | ranks, shard | trainer's process | shard is free from |"
    yield "|---|---|---|---|---|---|---|"
    texts = ROWS_PER_GPU + ROWS_PER_GPU // GROUP
    for net in NETWORKS:
        for ranks in GPUS:
            rows = ROWS_PER_GPU * ranks
            times = [encode_seconds(net, machine, texts, ranks, shard, batch_tokens) for shard in (False, True)]
            yield (
                f"| {net.name} | {ranks:,} | {rows:,} | {times[0]:.2f} s | {times[1]:.2f} s | "
                f"{driver_seconds(net, machine, rows):.1f} s | {free_batch(net, machine, ranks):,} tokens |"
            )


if __name__ == "__main__":
    print("\n".join((*memory_table(), "", *time_table())))
