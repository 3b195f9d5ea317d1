"""One dtype's measurements as the object that ``--json`` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from pgsrm_lab.bench.measure.ranking import (
    compare_ranking,
    first_of_identical,
    group_std,
    identical_spread,
    share_below,
)
from pgsrm_lab.bench.measure.roofline import Work
from pgsrm_lab.bench.measure.rounds import SystemTimes
from pgsrm_lab.bench.systems.compared import ComparedSystems
from pgsrm_lab.bench.workload import Pairs


@dataclass(frozen=True)
class SharedInputs:
    """What all dtypes share.

    Attributes:
        pairs: the workload.
        lengths: tokens read of each distinct text.
        work: of the model.
        truth: float64 cosines, by row, of the rows that were compared.
        rows: the rows of the systems that score only some.
    """

    pairs: Pairs
    lengths: Mapping[str, int]
    work: Work
    truth: Mapping[int, float]
    rows: Mapping[str, Sequence[int] | None]


@dataclass(frozen=True)
class DtypeMeasurements:
    """One dtype's measurements.

    Attributes:
        dtype: of the weights of ``tuned`` and ``ours``.
        times: by system, the untuned ones included, which are float32 in every dtype.
        gemm_rates: FLOP/s, one a round.
        systems: their batching, and what is absent.
        extra: further sections of the result.
    """

    dtype: str
    times: Mapping[str, SystemTimes]
    gemm_rates: Sequence[float]
    systems: ComparedSystems
    extra: Mapping[str, Mapping[str, float]]


def one_result(inputs: SharedInputs, measured: DtypeMeasurements) -> dict[str, Any]:
    """The result of one dtype; docs/benchmarks.md says what its numbers mean."""
    times, pairs = measured.times, inputs.pairs
    speed = {name: found.pairs_per_s for name, found in times.items()}
    tuned = {name: speed[name] for name in speed if name.startswith("tuned")}
    strongest = max(tuned, key=tuned.__getitem__)
    errors = {name: _error(inputs, name, found) for name, found in times.items()}
    whole = {name: found for name, found in times.items() if inputs.rows.get(name) is None}
    reference = first_of_identical(pairs, times["default"].cosines)
    rankings = {name: compare_ranking(pairs, found.cosines, reference) for name, found in whole.items()}
    ours = rankings["ours"]
    return {
        "dtype": measured.dtype,
        "pairs_per_s": speed,
        "speedup_vs_default": speed["ours"] / speed["default"],
        "speedup_vs_tuned": speed["ours"] / speed["tuned"],
        "speedup_vs_strongest": speed["ours"] / speed[strongest],
        "strongest_tuned": strongest,
        **_roofline(inputs, measured, speed["ours"]),
        "max_abs_cosine_error": errors["ours"]["max"],
        "kendall_tau_mean": ours.mean,
        "kendall_tau_min": ours.least,
        "ranking": {name: asdict(ranking) for name, ranking in rankings.items() if name != "default"},
        "group_std": group_std(pairs, reference),
        "groups_within_noise": share_below(pairs, times["ours"].cosines, errors["ours"]["max"]),
        "cosine_error": errors,
        "identical_pairs_differ_by": {name: identical_spread(pairs, found.cosines) for name, found in whole.items()},
        "padding_share": {name: found.padding for name, found in times.items() if found.padding is not None},
        "peak_memory_mb": {name: found.peak_mb for name, found in times.items() if found.peak_mb is not None},
        "tuned_batches": dict(measured.systems.batching),
        "absent": dict(measured.systems.absent),
        **measured.extra,
        "workload": _workload(inputs, times["per_sample"].pairs),
        "seconds": {name: found.seconds for name, found in times.items()},
    }


def _roofline(inputs: SharedInputs, measured: DtypeMeasurements, ours: float) -> dict[str, Any]:
    """Useful operations only: of the distinct texts, without padding."""
    lengths = list(inputs.lengths.values())
    flops, rate = inputs.work.flops(lengths), median(measured.gemm_rates)
    per_pair = len(inputs.pairs) / sum(lengths)
    useful = {name: found.pairs_per_s / per_pair for name, found in measured.times.items()}
    return {
        "roofline_fraction": ours / len(inputs.pairs) * flops / rate,
        "roofline": {
            "pairs_per_s": len(inputs.pairs) * rate / flops,
            "gemm_gflops_per_s": rate / 1e9,
            "gemm_gflops_per_s_rounds": [value / 1e9 for value in measured.gemm_rates],
            "parameters_per_token": inputs.work.parameters,
            "gflop": flops / 1e9,
        },
        "useful_tokens_per_s": useful,
    }


def _error(inputs: SharedInputs, name: str, measured: SystemTimes) -> dict[str, float]:
    rows = inputs.rows.get(name)
    at = {row: place for place, row in enumerate(range(len(inputs.pairs)) if rows is None else rows)}
    errors = [abs(measured.cosines[at[row]] - true) for row, true in inputs.truth.items() if row in at]
    return {"max": max(errors), "mean": fmean(errors), "pairs": len(errors)}


def _workload(inputs: SharedInputs, each: int) -> dict[str, float]:
    pairs, lengths = inputs.pairs, list(inputs.lengths.values())
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
