"""Measures the floor of ``transform: calibrated``: the cosine of texts that have nothing to do with each other."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import torch
import yaml

from pgsrm_plugin import functional
from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.encoders import EncoderSection
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.errors import DataError, ScorerError, SpecError
from pgsrm_plugin.kinds import kind_of
from pgsrm_plugin.spec import RewardSpec, load_spec
from pgsrm_plugin.terms.semantic import Semantic
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.batch import prepare_reference
from pgsrm_plugin.text.clean import prompt_text
from pgsrm_plugin.types import Encoder

_ENUMERATED = 200_000
"""Up to so many possible pairs, they are listed and drawn from; beyond, drawn at random until enough differ."""


@dataclass(frozen=True)
class Floor:
    """Cosines of mismatched pairs under one encoder; each in [-1, 1]."""

    encoder: str
    pairs: int
    mean: float
    median: float
    percentile_95: float

    def yaml(self) -> str:
        """The ``floor:`` block of a spec."""
        block = {"value": round(self.mean, 4), "encoder": self.encoder, "pairs": self.pairs}
        return yaml.safe_dump({"floor": block}, sort_keys=False, allow_unicode=True, width=1000)


def measure_floor(
    records: Sequence[Record], encoder: Encoder, text: TextSpec, *, pairs: int = 1000, seed: int = 0
) -> Floor:
    """The cosines between references of one prompt and references of another.

    Pairs differ in prompt and in text, and are drawn uniformly without repetition; where there are fewer than
    ``pairs``, all are measured.

    Raises:
        DataError: fewer than two distinct references, no two of different prompts, or one without a representation.
        ScorerError: the encoder failed, or cannot tell any two of the texts apart.
    """
    entries = _entries(records, text)
    chosen = _choose(entries, pairs, random.Random(seed))
    embedded, _ = CachedEncoder(encoder, limit_mb=0).embed([entries[i][1] for pair in chosen for i in pair])
    for reference, one in embedded.items():
        if not bool(one.vector_D.any()):
            raise DataError(f"the reference {reference[:60]!r} has no representation under encoder {encoder.identity}")
    left_PD, right_PD = (torch.stack([embedded[entries[pair[side]][1]].vector_D for pair in chosen]) for side in (0, 1))
    cosines = functional.cosine(left_PD, right_PD).tolist()
    if fmean(cosines) > 1 - 5e-5:
        raise ScorerError(f"encoder {encoder.identity} gives all texts the same vector: mean cosine {fmean(cosines)}")
    percentile_95 = float(torch.tensor(cosines, dtype=torch.float64).quantile(0.95))
    return Floor(encoder.identity, len(chosen), fmean(cosines), median(cosines), percentile_95)


def encoder_sections(path: Path) -> tuple[EncoderSection, TextSpec]:
    """The ``encoder`` and ``text`` sections of a spec file, also where its ``calibrated`` term still lacks the floor.

    Raises:
        SpecError: the spec is wrong elsewhere, or has no encoder.
    """
    try:
        spec = load_spec(path)
    except SpecError as error:
        spec = _without_terms(path, error)
    if spec.encoder is None:
        raise SpecError(f"{path}: the spec has no encoder, so there is no cosine to calibrate")
    return spec.encoder, spec.text


def _without_terms(path: Path, error: SpecError) -> RewardSpec:
    if "needs a floor" not in str(error) or "\n" in str(error):
        raise error
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    sections = {name: content[name] for name in ("encoder", "text") if name in content}
    return RewardSpec.model_validate({**sections, "terms": {kind_of(Semantic): {}}}, context={"folder": path.parent})


def _entries(records: Sequence[Record], text: TextSpec) -> list[tuple[str, str]]:
    """The distinct (prompt, prepared reference) pairs, in the order of the rows."""
    found: dict[tuple[str, str], None] = {}
    for record in records:
        for reference in record.references:
            prepared = prepare_reference(reference, text).text
            if prepared:
                found[(prompt_text(record.prompt), prepared)] = None
    distinct = len({reference for _, reference in found})
    if distinct < 2:
        raise DataError(f"calibration compares references with each other: at least 2 distinct ones, not {distinct}")
    return list(found)


def _choose(entries: Sequence[tuple[str, str]], pairs: int, rng: random.Random) -> list[tuple[int, int]]:
    """Index pairs (i < j) whose prompts and texts differ."""

    def mismatched(i: int, j: int) -> bool:
        return entries[i][0] != entries[j][0] and entries[i][1] != entries[j][1]

    count = len(entries)
    if count * (count - 1) // 2 <= max(_ENUMERATED, 4 * pairs):
        possible = [pair for pair in itertools.combinations(range(count), 2) if mismatched(*pair)]
        if not possible:
            raise DataError("calibration needs references of at least 2 different prompts")
        return rng.sample(possible, min(pairs, len(possible)))
    chosen: dict[tuple[int, int], None] = {}
    for _ in range(50 * pairs):
        i, j = sorted(rng.sample(range(count), 2))
        if mismatched(i, j):
            chosen[(i, j)] = None
        if len(chosen) == pairs:
            break
    if not chosen:
        raise DataError("calibration needs references of at least 2 different prompts")
    return list(chosen)
