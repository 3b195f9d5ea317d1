"""What one dtype's rounds come to: the object that ``--json`` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from pgsrm_lab.bench.bars import Lineup
from pgsrm_lab.bench.ranking import compare_ranking, first_of_identical, group_std, identical_spread, share_below
from pgsrm_lab.bench.roofline import Work
from pgsrm_lab.bench.rounds import Track
from pgsrm_lab.bench.workload import Pairs


@dataclass(frozen=True)
class Scene:
    """What all dtypes share.

    Attributes:
        pairs: the workload.
        lengths: tokens read of each distinct text.
        work: of the model.
        truth: float64 cosines, by row, of the rows that were compared.
        rows: the rows of the bars that score only some.
    """

    pairs: Pairs
    lengths: Mapping[str, int]
    work: Work
    truth: Mapping[int, float]
    rows: Mapping[str, Sequence[int] | None]


@dataclass(frozen=True)
class Measured:
    """One dtype's measurements.

    Attributes:
        dtype: of the weights of ``tuned`` and ``ours``.
        tracks: by bar, the float32 bars of all dtypes included.
        gemm_rates: FLOP/s, one a round.
        lineup: the bars' batching, and what is absent.
        extra: further sections of the result.
    """

    dtype: str
    tracks: Mapping[str, Track]
    gemm_rates: Sequence[float]
    lineup: Lineup
    extra: Mapping[str, Mapping[str, float]]


def one_result(scene: Scene, measured: Measured) -> dict[str, Any]:
    """The result of one dtype; the README of its keys is docs/benchmarks.md."""
    tracks, pairs = measured.tracks, scene.pairs
    speed = {name: track.pairs_per_s for name, track in tracks.items()}
    tuned = {name: speed[name] for name in speed if name.startswith("tuned")}
    strongest = max(tuned, key=tuned.__getitem__)
    errors = {name: _error(scene, name, track) for name, track in tracks.items()}
    whole = {name: track for name, track in tracks.items() if scene.rows.get(name) is None}
    reference = first_of_identical(pairs, tracks["default"].cosines)
    rankings = {name: compare_ranking(pairs, track.cosines, reference) for name, track in whole.items()}
    ours = rankings["ours"]
    return {
        "dtype": measured.dtype,
        "pairs_per_s": speed,
        "speedup_vs_default": speed["ours"] / speed["default"],
        "speedup_vs_tuned": speed["ours"] / speed["tuned"],
        "speedup_vs_strongest": speed["ours"] / speed[strongest],
        "strongest_tuned": strongest,
        **_roofline(scene, measured, speed["ours"]),
        "max_abs_cosine_error": errors["ours"]["max"],
        "kendall_tau_mean": ours.mean,
        "kendall_tau_min": ours.least,
        "ranking": {name: asdict(ranking) for name, ranking in rankings.items() if name != "default"},
        "group_std": group_std(pairs, reference),
        "groups_within_noise": share_below(pairs, tracks["ours"].cosines, errors["ours"]["max"]),
        "cosine_error": errors,
        "identical_pairs_differ_by": {name: identical_spread(pairs, track.cosines) for name, track in whole.items()},
        "padding_share": {name: track.padding for name, track in tracks.items() if track.padding is not None},
        "peak_memory_mb": {name: track.peak_mb for name, track in tracks.items() if track.peak_mb is not None},
        "tuned_batches": dict(measured.lineup.batching),
        "absent": dict(measured.lineup.absent),
        **measured.extra,
        "workload": _workload(scene, tracks["per_sample"].pairs),
        "seconds": {name: track.seconds for name, track in tracks.items()},
    }


def _roofline(scene: Scene, measured: Measured, ours: float) -> dict[str, Any]:
    """Useful operations only: of the distinct texts, without padding."""
    lengths = list(scene.lengths.values())
    flops, rate = scene.work.flops(lengths), median(measured.gemm_rates)
    per_pair = len(scene.pairs) / sum(lengths)
    useful = {name: track.pairs_per_s / per_pair for name, track in measured.tracks.items()}
    return {
        "roofline_fraction": ours / len(scene.pairs) * flops / rate,
        "roofline": {
            "pairs_per_s": len(scene.pairs) * rate / flops,
            "gemm_gflops_per_s": rate / 1e9,
            "gemm_gflops_per_s_rounds": [value / 1e9 for value in measured.gemm_rates],
            "parameters_per_token": scene.work.parameters,
            "gflop": flops / 1e9,
        },
        "useful_tokens_per_s": useful,
    }


def _error(scene: Scene, name: str, track: Track) -> dict[str, float]:
    rows = scene.rows.get(name)
    at = {row: place for place, row in enumerate(range(len(scene.pairs)) if rows is None else rows)}
    found = [abs(track.cosines[at[row]] - true) for row, true in scene.truth.items() if row in at]
    return {"max": max(found), "mean": fmean(found), "pairs": len(found)}


def _workload(scene: Scene, each: int) -> dict[str, float]:
    pairs, lengths = scene.pairs, list(scene.lengths.values())
    return {
        "prompts": len(set(pairs.groups)),
        "pairs": len(pairs),
        "distinct_texts": len(lengths),
        "distinct_responses_share": len(set(zip(pairs.responses, pairs.groups, strict=True))) / len(pairs),
        "tokens": sum(lengths),
        "mean_tokens": fmean(lengths),
        "longest_tokens": max(lengths),
        "per_sample_pairs": each,
    }
