"""The bars of one run: what is compared, ready to be timed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from pydantic import TypeAdapter, ValidationError

from pgsrm_lab.bench.baseline import Baseline
from pgsrm_lab.bench.rounds import Bar, Say
from pgsrm_lab.bench.tuned import Tuned, best_batching, candidates
from pgsrm_lab.bench.workload import Pairs
from pgsrm_plugin import functional
from pgsrm_plugin.encoders import EncoderSection
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.errors import PgsrmError, SpecError
from pgsrm_plugin.types import Encoder

CACHE_MB = 4096.0
"""Room for every embedding of the workload."""
EACH_PAIRS, SWEEP_SHARE = 64, 8
"""Pairs that are scored a text at a time; the part of the groups that batchings are tried on."""


@dataclass
class Lineup:
    """One dtype's bars.

    Attributes:
        bars: by name.
        encoder: ours.
        batching: of each tuned bar, in words.
        absent: why a bar is missing, by name.
    """

    encoder: Encoder
    bars: dict[str, Bar] = field(default_factory=dict)
    batching: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def shared_bars(baseline: Baseline, sample_rows: list[int]) -> list[Bar]:
    """What users have without tuning: always float32."""
    step = max(1, len(sample_rows) // EACH_PAIRS)
    each = tuple(sample_rows[::step][:EACH_PAIRS])
    return [
        Bar("per_sample", "float32", baseline.cosines_each, baseline.device, each, baseline.padding),
        Bar("default", "float32", baseline.cosines_by_default, baseline.device, None, baseline.padding),
    ]


def make_lineup(spec: HfEncoderSpec, pairs: Pairs, say: Say) -> Lineup:
    """The tuned bars, vLLM and ours in the spec's dtype.

    Raises:
        SpecError: the model cannot be loaded.
        ScorerError: ours fails its self-test.
    """
    say(f"loading the encoder, {spec.dtype}")
    lineup = Lineup(spec.build())
    _add_tuned(lineup, spec, pairs, say)
    _add_vllm(lineup, spec, say)
    lineup.bars["ours"] = Bar("ours", spec.dtype, embeds_with(lineup.encoder), lineup.bars["tuned"].device)
    return lineup


def embeds_with(encoder: Encoder) -> Callable[[Pairs], torch.Tensor]:
    """Scores with an encoder of ours and an empty cache: each distinct text of either side is embedded once."""
    return lambda pairs: cosines_of(CachedEncoder(encoder, CACHE_MB), pairs)


def cosines_of(cached: CachedEncoder, pairs: Pairs) -> torch.Tensor:
    """(B,) float64 cosines, as :class:`~pgsrm_plugin.reward.SemanticReward` computes them."""
    found, _ = cached.embed((*pairs.responses, *pairs.references))
    left_BD, right_BD = (
        torch.stack([found[text].vector_D for text in side]) for side in (pairs.responses, pairs.references)
    )
    return functional.cosine(left_BD, right_BD)


def _add_tuned(lineup: Lineup, spec: HfEncoderSpec, pairs: Pairs, say: Say) -> None:
    """The library's own attention always, others where the sweep finds them faster."""
    groups = len(set(pairs.groups))
    part = pairs.take(pairs.spread_groups(max(2, groups // SWEEP_SHARE)))
    own_s = float("inf")
    for attention in (None, *_attentions(spec)):
        name = "tuned" if attention is None else f"tuned_{attention}"
        say(f"looking for the best batches: {name}, {spec.dtype}")
        try:
            baseline = Baseline(spec, attention)
            device = baseline.device
            batching, seconds = best_batching(baseline, part, candidates(torch.device(device).type))
        except SpecError as error:
            if attention is None:
                raise
            lineup.absent[name] = str(error)
            continue
        if attention is not None and seconds > own_s:
            lineup.absent[name] = f"slower than tuned when batchings were tried ({seconds:.2f} s against {own_s:.2f} s)"
            continue
        own_s = min(own_s, seconds) if attention is None else own_s
        lineup.batching[name] = str(batching)
        lineup.bars[name] = Bar(name, spec.dtype, Tuned(baseline, batching).cosines, device, None, baseline.padding)


def _attentions(spec: HfEncoderSpec) -> list[str]:
    flash = spec.dtype != "float32" and torch.cuda.is_available() and importlib.util.find_spec("flash_attn")
    return ["eager", "flash_attention_2"] if flash else ["eager"]


def _add_vllm(lineup: Lineup, spec: HfEncoderSpec, say: Say) -> None:
    if importlib.util.find_spec("vllm") is None:
        lineup.absent["vllm"] = "vllm is not installed"
        return
    say(f"starting vLLM, {spec.dtype}")
    shared = {name: getattr(spec, name) for name in ("model", "revision", "dtype", "prompt", "max_tokens")}
    try:
        adapter: TypeAdapter[EncoderSection] = TypeAdapter(EncoderSection)
        encoder = adapter.validate_python({"kind": "vllm", **shared}).build()
    except ValidationError as error:
        lineup.absent["vllm"] = f"its encoder does not take these settings: {error.errors()[0]['msg']}"
    except PgsrmError as error:
        lineup.absent["vllm"] = str(error)
    else:
        lineup.bars["vllm"] = Bar("vllm", spec.dtype, embeds_with(encoder), measures_memory=False)
