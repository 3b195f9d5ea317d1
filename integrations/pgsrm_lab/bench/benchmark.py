"""One run of the benchmark: every system in every dtype asked for, and what its times alone do not say."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pgsrm_lab.bench.measure.guard_cost import measure_guards
from pgsrm_lab.bench.measure.known_texts import measure_known_texts
from pgsrm_lab.bench.measure.roofline import Gemm, Work, token_counts, work_of
from pgsrm_lab.bench.measure.rounds import SystemTimes, time_in_turn
from pgsrm_lab.bench.measure.streaming import measure_streaming
from pgsrm_lab.bench.result import DtypeMeasurements, SharedInputs, one_result
from pgsrm_lab.bench.systems.base import Progress
from pgsrm_lab.bench.systems.baseline import Baseline
from pgsrm_lab.bench.systems.compared import ComparedSystems, load_systems, untuned_systems
from pgsrm_lab.bench.systems.tuned import cosines_between
from pgsrm_lab.bench.workload import Pairs, WorkloadSettings, make_workload
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.report.machine import machine, versions
from pgsrm_plugin.spec import RewardSpec

SAMPLE_GROUPS, KNOWN_TEXTS_SHARE = 16, 4
"""Groups compared with float64; the part of the groups that the cache is tried on."""
STREAM_LOAD = 0.5
"""Arrivals a second, as a share of the throughput."""


@dataclass(frozen=True)
class BenchSettings:
    """What to measure.

    Attributes:
        spec: the encoder; its dtype is replaced by each of ``dtypes``.
        dtypes: one result each.
        rounds: each system is timed so often; medians count.
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


def run_bench(settings: BenchSettings, progress: Progress = lambda _: None) -> dict[str, Any]:
    """Measures, and returns what ``pgsrm bench --json`` writes: one result, or ``runs`` with one a dtype.

    Raises:
        SpecError: the model cannot be loaded, or is no transformer.
        ScorerError: ours fails its self-test, or in a round.
    """
    pairs = make_workload(settings.workload)
    sample = pairs.spread_groups(SAMPLE_GROUPS)
    progress("loading sentence-transformers")
    plain = Baseline(_with_dtype(settings.spec, "float32"))
    try:
        work = work_of(plain.model[0])
    except (ValueError, AttributeError) as error:
        raise SpecError(f"pgsrm bench cannot count the work of {settings.spec.model}: {error}") from error
    lengths = dict(zip(texts := pairs.distinct_texts(), plain.lengths(texts), strict=True))
    progress("float64, for the truth")
    truth = dict(zip(sample, true_cosines(settings.spec, pairs.take(sample)).tolist(), strict=True))
    compared = {dtype: load_systems(_with_dtype(settings.spec, dtype), pairs, progress) for dtype in settings.dtypes}
    untuned = untuned_systems(plain, sample)
    systems = [*untuned, *(system for of_dtype in compared.values() for system in of_dtype.by_name.values())]
    gemms = _gemm_rates(work, settings.dtypes, plain.model.device, progress)
    measured, rates = time_in_turn(systems, pairs, gemms, settings.rounds, progress)
    times = {(system.name, system.dtype): found for system, found in zip(systems, measured, strict=True)}
    inputs = SharedInputs(pairs, lengths, work, truth, {system.name: system.rows for system in untuned})
    results = []
    for dtype, of_dtype in compared.items():
        own = {name: times[name, dtype] for name in of_dtype.by_name}
        shared = {system.name: times[system.name, system.dtype] for system in untuned}
        extra = _extras(of_dtype, pairs, lengths, own["ours"], settings.workload.seed, progress)
        results.append(one_result(inputs, DtypeMeasurements(dtype, shared | own, rates[dtype], of_dtype, extra)))
    return _with_provenance(results, settings, str(plain.model.device.type))


def run_guards(spec: RewardSpec, rounds: int, command: str, progress: Progress = lambda _: None) -> dict[str, Any]:
    """What guards cost, as ``pgsrm bench --guards SPEC --json`` writes it.

    Raises:
        SpecError: the spec's encoder is of another kind than ``hf``, or it has no guards, or no cosine beside them.
        ScorerError: the encoder failed.
    """
    if not isinstance(spec.encoder, HfEncoderSpec):
        raise SpecError(f"--guards measures beside an encoder of kind hf, and {spec.name or 'this spec'} has none")
    about = _provenance(spec.encoder.model, spec.encoder.device, rounds, command)
    return {"guards": measure_guards(spec, rounds, progress), "spec": spec.name or "spec", **about}


def true_cosines(spec: HfEncoderSpec, pairs: Pairs) -> torch.Tensor:
    """(B,) cosines of the float32 weights computed in float64."""
    baseline = Baseline(_with_dtype(spec, "float32"))
    baseline.model.double()
    texts = pairs.distinct_texts()
    return cosines_between(pairs, texts, baseline.encode(texts, convert_to_tensor=True).cpu())


def _extras(
    systems: ComparedSystems, pairs: Pairs, lengths: dict[str, int], ours: SystemTimes, seed: int, progress: Progress
) -> dict[str, dict[str, float]]:
    progress("half of the texts known, then arrivals one by one")
    part = pairs.take(pairs.spread_groups(max(2, len(set(pairs.groups)) // KNOWN_TEXTS_SHARE)))
    return {
        "repeats": measure_known_texts(systems.encoder, part, lengths),
        "streaming": measure_streaming(systems.encoder, pairs, STREAM_LOAD * ours.pairs_per_s, seed),
    }


def _gemm_rates(
    work: Work, dtypes: Sequence[str], device: torch.device, progress: Progress
) -> dict[str, Callable[[], float]]:
    progress("the GEMM rate")
    return {dtype: Gemm(work, getattr(torch, dtype), device, token_counts(device)).rate for dtype in dtypes}


def _with_dtype(spec: HfEncoderSpec, dtype: str) -> HfEncoderSpec:
    return HfEncoderSpec.model_validate({**spec.model_dump(), "dtype": dtype})


def _with_provenance(results: list[dict[str, Any]], settings: BenchSettings, device: str) -> dict[str, Any]:
    about = _provenance(settings.spec.model, device, settings.rounds, settings.command)
    return {**results[0], **about} if len(results) == 1 else {"runs": [r | about for r in results], **about}


def _provenance(model: str, device: str, rounds: int, command: str) -> dict[str, Any]:
    host = machine() | {"torch_threads": str(torch.get_num_threads())}
    if device != "cuda":
        host.pop("gpu", None)
        host["instructions"] = _instructions()
    found = versions()
    return {
        "machine": host,
        "versions": {name: found[name] for name in found if name not in ("lightning", "verl")},
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "model": model,
        "device": device,
        "rounds": rounds,
    }


def _instructions() -> str:
    """What torch uses, and what the CPU has for bfloat16: it decides what that dtype is worth."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8", errors="replace").split() if info.is_file() else []
    found = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *found])
