"""The systems of one run, ready to be timed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field

import torch
from pydantic import TypeAdapter, ValidationError

from pgsrm_lab.bench.systems.base import Progress, System
from pgsrm_lab.bench.systems.baseline import Baseline
from pgsrm_lab.bench.systems.cached_encoder import with_empty_cache
from pgsrm_lab.bench.systems.tuned import Tuned, best_batching, candidates
from pgsrm_lab.bench.workload import Pairs
from pgsrm_plugin.encoders import EncoderSection
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.errors import PgsrmError, SpecError
from pgsrm_plugin.types import Encoder

EACH_PAIRS, SWEEP_SHARE = 64, 8
"""Pairs that are scored a text at a time; the part of the groups that batchings are tried on."""


@dataclass
class ComparedSystems:
    """What is compared in one dtype.

    Attributes:
        encoder: ours.
        by_name: the systems.
        batching: of each tuned system, as text.
        absent: why a system is missing, by name.
    """

    encoder: Encoder
    by_name: dict[str, System] = field(default_factory=dict)
    batching: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def untuned_systems(baseline: Baseline, sample_rows: list[int]) -> list[System]:
    """What users have without tuning: always float32."""
    step = max(1, len(sample_rows) // EACH_PAIRS)
    each = tuple(sample_rows[::step][:EACH_PAIRS])
    return [
        System("per_sample", "float32", baseline.cosines_each, baseline.device, each, baseline.padding),
        System("default", "float32", baseline.cosines_by_default, baseline.device, None, baseline.padding),
    ]


def load_systems(spec: HfEncoderSpec, pairs: Pairs, progress: Progress) -> ComparedSystems:
    """The tuned baselines, vLLM and ours in the spec's dtype.

    Raises:
        SpecError: the model cannot be loaded.
        ScorerError: ours fails its self-test.
    """
    progress(f"loading the encoder, {spec.dtype}")
    systems = ComparedSystems(spec.build())
    _add_tuned(systems, spec, pairs, progress)
    _add_vllm(systems, spec, progress)
    device = systems.by_name["tuned"].device
    systems.by_name["ours"] = System("ours", spec.dtype, with_empty_cache(systems.encoder), device)
    return systems


def _add_tuned(systems: ComparedSystems, spec: HfEncoderSpec, pairs: Pairs, progress: Progress) -> None:
    """The library's own attention always, others where the sweep finds them faster."""
    groups = len(set(pairs.groups))
    part = pairs.take(pairs.spread_groups(max(2, groups // SWEEP_SHARE)))
    own_s = float("inf")
    for attention in (None, *_attentions(spec)):
        name = "tuned" if attention is None else f"tuned_{attention}"
        progress(f"looking for the best batches: {name}, {spec.dtype}")
        try:
            baseline = Baseline(spec, attention)
            device = baseline.device
            batching, seconds = best_batching(baseline, part, candidates(torch.device(device).type))
        except SpecError as error:
            if attention is None:
                raise
            systems.absent[name] = str(error)
            continue
        if attention is not None and seconds > own_s:
            systems.absent[name] = (
                f"slower than tuned when batchings were tried ({seconds:.2f} s against {own_s:.2f} s)"
            )
            continue
        own_s = min(own_s, seconds) if attention is None else own_s
        systems.batching[name] = str(batching)
        cosines = Tuned(baseline, batching).cosines
        systems.by_name[name] = System(name, spec.dtype, cosines, device, None, baseline.padding)


def _attentions(spec: HfEncoderSpec) -> list[str]:
    flash = spec.dtype != "float32" and torch.cuda.is_available() and importlib.util.find_spec("flash_attn")
    return ["eager", "flash_attention_2"] if flash else ["eager"]


def _add_vllm(systems: ComparedSystems, spec: HfEncoderSpec, progress: Progress) -> None:
    if importlib.util.find_spec("vllm") is None:
        systems.absent["vllm"] = "vllm is not installed"
        return
    progress(f"starting vLLM, {spec.dtype}")
    shared = {name: getattr(spec, name) for name in ("model", "revision", "dtype", "prompt", "max_tokens")}
    try:
        adapter: TypeAdapter[EncoderSection] = TypeAdapter(EncoderSection)
        encoder = adapter.validate_python({"kind": "vllm", **shared}).build()
    except ValidationError as error:
        systems.absent["vllm"] = f"its encoder does not take these settings: {error.errors()[0]['msg']}"
    except PgsrmError as error:
        systems.absent["vllm"] = str(error)
    else:
        systems.by_name["vllm"] = System("vllm", spec.dtype, with_empty_cache(encoder), measures_memory=False)
