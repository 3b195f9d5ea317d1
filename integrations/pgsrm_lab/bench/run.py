"""One run of the benchmark: every bar in every dtype asked for, and what the bars alone do not say."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from pgsrm_lab.bench.bars import CACHE_MB, Lineup, cosines_of, make_lineup, shared_bars
from pgsrm_lab.bench.baseline import Baseline
from pgsrm_lab.bench.result import Measured, Scene, one_result
from pgsrm_lab.bench.roofline import Gemm, Work, token_counts, work_of
from pgsrm_lab.bench.rounds import Say, Track, play
from pgsrm_lab.bench.streaming import Window, poisson_arrivals, stream
from pgsrm_lab.bench.tuned import cosines_between
from pgsrm_lab.bench.workload import Pairs, WorkloadSettings, make_workload
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.report.machine import machine, versions
from pgsrm_plugin.types import Encoder

SAMPLE_GROUPS, REPEAT_SHARE, REPEAT_ROUNDS = 16, 4, 3
"""Groups compared with float64; the part of the groups that the cache is tried on, and how often."""
STREAM_LOAD, STREAM_S = 0.5, 8.0
"""Arrivals a second, as a share of the throughput; about how long they go on."""


@dataclass(frozen=True)
class BenchSettings:
    """What to measure.

    Attributes:
        spec: the encoder; its dtype is replaced by each of ``dtypes``.
        dtypes: one result each.
        rounds: each bar is timed so often; medians count.
        workload: the pairs.
        command: what to type for the same run.
    """

    spec: HfEncoderSpec
    dtypes: tuple[str, ...] = ("float32",)
    rounds: int = 5
    workload: WorkloadSettings = field(default_factory=WorkloadSettings)
    command: str = "pgsrm bench"

    def __post_init__(self) -> None:
        if self.rounds < 1 or not self.dtypes:
            raise SpecError("a benchmark needs at least one round and one dtype")


def run_bench(settings: BenchSettings, say: Say = lambda _: None) -> dict[str, Any]:
    """Measures, and returns what ``pgsrm bench --json`` writes: one result, or ``runs`` with one a dtype.

    Raises:
        SpecError: the model cannot be loaded, or is no transformer.
        ScorerError: ours fails its self-test, or in a round.
    """
    pairs = make_workload(settings.workload)
    sample = pairs.spread_groups(SAMPLE_GROUPS)
    say("loading sentence-transformers")
    plain = Baseline(_with_dtype(settings.spec, "float32"))
    try:
        work = work_of(plain.model[0])
    except (ValueError, AttributeError) as error:
        raise SpecError(f"pgsrm bench cannot count the work of {settings.spec.model}: {error}") from error
    lengths = dict(zip(texts := pairs.distinct_texts(), plain.lengths(texts), strict=True))
    say("float64, for the truth")
    truth = true_cosines(settings.spec, pairs.take(sample))
    lineups = {dtype: make_lineup(_with_dtype(settings.spec, dtype), pairs, say) for dtype in settings.dtypes}
    shared = shared_bars(plain, sample)
    bars = [*shared, *(bar for lineup in lineups.values() for bar in lineup.bars.values())]
    gauges = _gauges(work, settings.dtypes, plain.model.device, say)
    tracks, rates = play(bars, pairs, gauges, settings.rounds, say)
    by_bar = {(bar.name, bar.dtype): track for bar, track in zip(bars, tracks, strict=True)}
    truths = dict(zip(sample, truth.tolist(), strict=True))
    scene = Scene(pairs, lengths, work, truths, {bar.name: bar.rows for bar in shared})
    results = []
    for dtype, lineup in lineups.items():
        own = {name: by_bar[name, dtype] for name in lineup.bars}
        both = {bar.name: by_bar[bar.name, bar.dtype] for bar in shared}
        extra = _extras(lineup, pairs, lengths, own["ours"], settings.workload.seed, say)
        measured = Measured(dtype, both | own, rates[dtype], lineup, extra)
        results.append(one_result(scene, measured))
    return _with_provenance(results, settings, str(plain.model.device.type))


def true_cosines(spec: HfEncoderSpec, pairs: Pairs) -> torch.Tensor:
    """(B,) cosines of the float32 weights computed in float64."""
    baseline = Baseline(_with_dtype(spec, "float32"))
    baseline.model.double()
    texts = pairs.distinct_texts()
    return cosines_between(pairs, texts, baseline.encode(texts, convert_to_tensor=True).cpu())


def measure_repeats(encoder: Encoder, pairs: Pairs, lengths: dict[str, int]) -> dict[str, float]:
    """The cost of a step half of whose texts an earlier step had, beside that of the same step with an empty cache."""
    texts = pairs.distinct_texts()
    cold, warm = [], []
    for _ in range(REPEAT_ROUNDS):
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


def measure_streaming(encoder: Encoder, pairs: Pairs, per_s: float, seed: int) -> dict[str, float]:
    """Single pairs arriving at random, ``per_s`` on average, scored in micro-batches with one cache."""
    count = max(2, min(len(pairs), round(per_s * STREAM_S)))
    arriving = pairs.take(range(count))
    cached, window = CachedEncoder(encoder, CACHE_MB), Window()
    cosines_of(CachedEncoder(encoder, CACHE_MB), pairs.take([0]))
    streamed = stream(lambda batch: cosines_of(cached, batch), arriving, poisson_arrivals(count, per_s, seed), window)
    return {
        "arrivals_per_s": per_s,
        "pairs": count,
        "mean_batch": count / streamed.batches,
        "wait_ms": 1000 * window.wait_s,
        "p50_ms": streamed.percentile_ms(0.50),
        "p99_ms": streamed.percentile_ms(0.99),
    }


def _extras(
    lineup: Lineup, pairs: Pairs, lengths: dict[str, int], ours: Track, seed: int, say: Say
) -> dict[str, dict[str, float]]:
    say("half of the texts known, then arrivals one by one")
    part = pairs.take(pairs.spread_groups(max(2, len(set(pairs.groups)) // REPEAT_SHARE)))
    return {
        "repeats": measure_repeats(lineup.encoder, part, lengths),
        "streaming": measure_streaming(lineup.encoder, pairs, STREAM_LOAD * ours.pairs_per_s, seed),
    }


def _seconds(cached: CachedEncoder, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    cached.embed(texts)  # returns vectors on the CPU, so the device is done
    return time.perf_counter() - started


def _gauges(work: Work, dtypes: Sequence[str], device: torch.device, say: Say) -> dict[str, Any]:
    say("the GEMM rate")
    return {dtype: Gemm(work, getattr(torch, dtype), device, token_counts(device)).rate for dtype in dtypes}


def _with_dtype(spec: HfEncoderSpec, dtype: str) -> HfEncoderSpec:
    return HfEncoderSpec.model_validate({**spec.model_dump(), "dtype": dtype})


def _with_provenance(results: list[dict[str, Any]], settings: BenchSettings, device: str) -> dict[str, Any]:
    host = machine() | {"torch_threads": str(torch.get_num_threads())}
    if device == "cpu":
        host.pop("gpu", None)
        host["instructions"] = _instructions()
    found = versions()
    about = {
        "machine": host,
        "versions": {name: found[name] for name in found if name not in ("lightning", "verl")},
        "command": settings.command,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "model": settings.spec.model,
        "device": device,
        "rounds": settings.rounds,
    }
    return {**results[0], **about} if len(results) == 1 else {"runs": [r | about for r in results], **about}


def _instructions() -> str:
    """What torch uses, and what the CPU has for bfloat16: it decides what that dtype is worth."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8", errors="replace").split() if info.is_file() else []
    found = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *found])
