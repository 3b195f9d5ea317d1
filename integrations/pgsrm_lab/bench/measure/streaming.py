"""Responses that arrive one by one: how long after its arrival is each one scored?"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from pgsrm_lab.bench.systems.cached_encoder import CACHE_MB, cosines_of
from pgsrm_lab.bench.workload import Pairs
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.types import Encoder

STREAM_S = 8.0
"""About how long arrivals go on."""


@dataclass(frozen=True)
class Window:
    """When a batch starts: ``max_rows`` are there, or the first has waited ``wait_s``; never two at a time."""

    max_rows: int = 256
    wait_s: float = 0.010


@dataclass(frozen=True)
class Streamed:
    """What arrivals at some rate met.

    Attributes:
        latencies_s: from each row's arrival to the end of its batch, in order of arrival.
        batches: batches that were scored.
    """

    latencies_s: tuple[float, ...]
    batches: int

    def percentile_ms(self, share: float) -> float:
        """The latency that ``share`` of the rows do not exceed (nearest rank)."""
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def measure_streaming(encoder: Encoder, pairs: Pairs, per_s: float, seed: int) -> dict[str, float]:
    """Single pairs arriving at random, ``per_s`` on average, scored in micro-batches with one cache."""
    count = max(2, min(len(pairs), round(per_s * STREAM_S)))
    arriving = pairs.take(range(count))
    cached, window = CachedEncoder(encoder, CACHE_MB), Window()
    cosines_of(CachedEncoder(encoder, CACHE_MB), pairs.take([0]))  # warms up
    streamed = stream(lambda batch: cosines_of(cached, batch), arriving, poisson_arrivals(count, per_s, seed), window)
    return {
        "arrivals_per_s": per_s,
        "pairs": count,
        "mean_batch": count / streamed.batches,
        "wait_ms": 1000 * window.wait_s,
        "p50_ms": streamed.percentile_ms(0.50),
        "p99_ms": streamed.percentile_ms(0.99),
    }


def poisson_arrivals(count: int, per_s: float, seed: int) -> list[float]:
    """Seconds from the start at which ``count`` rows arrive, independently of one another, ``per_s`` on average."""
    rng = random.Random(f"arrivals/{seed}")
    at, arrivals = 0.0, []
    for _ in range(count):
        at += rng.expovariate(per_s)
        arrivals.append(at)
    return arrivals


def stream(
    score: Callable[[Pairs], object],
    pairs: Pairs,
    arrivals: list[float],
    window: Window,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Streamed:
    """Scores the pairs in real time as they arrive, in micro-batches.

    The arrivals are known beforehand but looked at only when they are due, so a single thread does: while a batch is
    scored the next rows queue up, as behind a scoring thread.
    """
    started, latencies, batches, first = clock(), [], 0, 0
    while first < len(pairs):
        start = arrivals[first] + window.wait_s
        if first + window.max_rows <= len(pairs):
            start = min(start, arrivals[first + window.max_rows - 1])
        sleep(max(0.0, started + start - clock()))
        now = clock() - started
        due = [row for row in range(first, min(first + window.max_rows, len(pairs))) if arrivals[row] <= now] or [first]
        score(pairs.take(due))
        done = clock() - started
        latencies += [done - arrivals[row] for row in due]
        batches, first = batches + 1, due[-1] + 1
    return Streamed(tuple(latencies), batches)
