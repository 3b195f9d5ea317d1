"""The strongest sentence-transformers: each distinct text once, sorted by length, in the batches that measure best."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from pgsrm_lab.bench.systems.baseline import Baseline
from pgsrm_lab.bench.workload import Pairs
from pgsrm_plugin import functional

_FINALISTS = 3


@dataclass(frozen=True)
class Batching:
    """How the distinct texts are cut into batches.

    Attributes:
        by: ``texts`` leaves sorting and batching to ``encode(batch_size=size)``, which sorts by characters; ``tokens``
            sorts by tokens and fills batches of at most ``size`` padded ones.
    """

    by: Literal["texts", "tokens"]
    size: int

    def __str__(self) -> str:
        return f"{self.size:,} {'texts' if self.by == 'texts' else 'padded tokens'} a batch"


def candidates(device: str) -> list[Batching]:
    """The batchings worth trying on a kind of device."""
    texts = (8, 16, 32, 64, 128) if device == "cpu" else (32, 64, 128, 256, 512, 1024)
    tokens = (1024, 2048, 4096, 8192) if device == "cpu" else (8192, 16384, 32768, 65536, 131072)
    return [*(Batching("texts", size) for size in texts), *(Batching("tokens", size) for size in tokens)]


class Tuned:
    """A baseline with deduplication on both sides, and one batching."""

    def __init__(self, baseline: Baseline, batching: Batching) -> None:
        self.baseline = baseline
        self.batching = batching

    def cosines(self, pairs: Pairs) -> torch.Tensor:
        """(B,) float64 cosines; vectors in the weights' dtype, the product in float64."""
        texts = pairs.distinct_texts()
        if self.batching.by == "texts":
            vectors_ND = self.baseline.encode(texts, batch_size=self.batching.size, convert_to_tensor=True).float()
        else:
            lengths = self.baseline.lengths(texts)
            order = sorted(range(len(texts)), key=lengths.__getitem__)
            batches = list(token_batches([lengths[row] for row in order], self.batching.size))
            parts = [
                self.baseline.encode([texts[order[i]] for i in batch], batch_size=len(batch), convert_to_tensor=True)
                for batch in batches
            ]
            sorted_ND = torch.cat(parts).float()
            vectors_ND = torch.empty_like(sorted_ND)
            vectors_ND[order] = sorted_ND
        return cosines_between(pairs, texts, vectors_ND.cpu())


def cosines_between(pairs: Pairs, texts: Sequence[str], vectors_ND: torch.Tensor) -> torch.Tensor:
    """(B,) float64 cosines of pairs whose texts have these vectors."""
    place = {text: row for row, text in enumerate(texts)}
    left_B, right_B = ([place[text] for text in side] for side in (pairs.responses, pairs.references))
    return functional.cosine(vectors_ND[left_B], vectors_ND[right_B])


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[range]:
    """Cuts ascending lengths into runs whose size times greatest length is within the budget (one text may exceed)."""
    start = 0
    for i, length in enumerate(lengths):
        if i > start and (i - start + 1) * length > budget:
            yield range(start, i)
            start = i
    if start < len(lengths):
        yield range(start, len(lengths))


def best_batching(baseline: Baseline, pairs: Pairs, options: Sequence[Batching]) -> tuple[Batching, float]:
    """The fastest batching on some pairs, and its seconds: all are tried once, the fastest few a second time."""
    seconds = dict.fromkeys(options, math.inf)

    def attempt(batching: Batching) -> None:
        started = time.perf_counter()
        Tuned(baseline, batching).cosines(pairs)  # ends on the CPU, so the device is done
        seconds[batching] = min(seconds[batching], time.perf_counter() - started)

    for batching in options:
        attempt(batching)
    for batching in sorted(options, key=seconds.__getitem__)[:_FINALISTS]:
        attempt(batching)
    best = min(options, key=seconds.__getitem__)
    return best, seconds[best]
