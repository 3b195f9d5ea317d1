"""What texts of earlier steps cost: they are in the cache."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from statistics import median

from pgsrm_lab.bench.systems.cached_encoder import CACHE_MB
from pgsrm_lab.bench.workload import Pairs
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.types import Encoder

REPEATS = 3
"""Each way is timed so often; the median counts."""


def measure_known_texts(encoder: Encoder, pairs: Pairs, lengths: Mapping[str, int]) -> dict[str, float]:
    """The cost of a step half of whose texts an earlier step had, beside that of the same step with an empty cache."""
    texts = pairs.distinct_texts()
    cold, warm = [], []
    for _ in range(REPEATS):
        cold.append(_seconds(CachedEncoder(encoder, CACHE_MB), texts))
        cached = CachedEncoder(encoder, CACHE_MB)
        cached.embed(texts[::2])
        warm.append(_seconds(cached, texts))
    new_tokens = sum(lengths[text] for text in texts[1::2])
    return {
        "texts": len(texts),
        "new_tokens_share": new_tokens / sum(lengths[text] for text in texts),
        "seconds_cold": median(cold),
        "seconds_half_known": median(warm),
        "time_share": median(warm) / median(cold),
    }


def _seconds(cached: CachedEncoder, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    cached.embed(texts)  # returns vectors on the CPU, so the device is done
    return time.perf_counter() - started
