"""What the parts of a spec measure on a user's references: floors, baselines, the centre of a cross-encoder.

Each part of the spec that has such a setting says what it should be (:class:`~pgsrm_plugin.types.Measurable`); here
the pairs are drawn, embedded and handed to it.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.encoders.cache.embedder import BatchEmbedder
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.errors import DataError, ScorerError, SpecError
from pgsrm_plugin.guards.base import Guard
from pgsrm_plugin.own_models import OwnModels
from pgsrm_plugin.spec import RewardSpec, load_spec
from pgsrm_plugin.terms.base import Term
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.batch import prepare_reference
from pgsrm_plugin.text.clean import prompt_text
from pgsrm_plugin.types import Calibrated, Encoder, Measurable, ReferencePairs

_ENUMERATED = 200_000
"""Up to so many possible pairs, they are listed and drawn from; beyond, drawn at random until enough differ."""
_SAME = 1 - 5e-5
"""Above this mean cosine of unrelated texts, the encoder tells none from another."""
_LACKS_FLOOR = re.compile(r"terms\.([^\s:]+): transform: calibrated needs a floor")


def calibrate(
    spec: RewardSpec, records: Sequence[Record], encoder: Encoder | None = None, *, pairs: int = 1000, seed: int = 0
) -> dict[str, Calibrated]:
    """The settings to measure of each part of the spec that has some, by its place (``terms.semantic``).

    Args:
        encoder: used instead of building the one that the spec describes.
        pairs: the most pairs of each sort (:func:`drawn`).

    Raises:
        DataError: the references are too few or too much alike, or one has no representation; or a part needs prompts
            with two references.
        SpecError: no part of the spec has a setting to measure, or a model cannot be built.
        ScorerError: the encoder failed, or cannot tell any two of the texts apart.
    """
    parts: dict[str, Term | Guard] = {f"terms.{name}": term for name, term in spec.terms.items()}
    parts |= {f"guards.{name}": guard for name, guard in spec.guards.items()}
    asked = {place: part for place, part in parts.items() if isinstance(part, Measurable)}
    if not asked:
        raise SpecError("no term or guard of the spec has a setting to measure (a floor, a baseline, a centre)")
    needs = [parts[place].needs() for place in asked]
    embeds = any(need.encoder for need in needs)
    if embeds and encoder is None and spec.encoder is not None:
        encoder = spec.encoder.build()
    found = drawn(records, spec.text, pairs, seed, "" if encoder is None or not embeds else encoder.identity)
    texts = sorted({text for pair in (*found.unrelated, *found.related) for text in pair})
    states = any(need.token_states for need in needs)
    cached = CachedEncoder(encoder, limit_mb=0) if encoder is not None and embeds else None
    embedder = BatchEmbedder(cached, texts, states, models=OwnModels.of(spec).asked)
    for text in texts:
        if not embedder.has_representation(text):
            raise DataError(f"the reference {text[:60]!r} has no representation under encoder {found.encoder}")
    if embeds:
        cosines = embedder.cosine(found.unrelated)
        if sum(cosines) / len(cosines) > _SAME:
            raise ScorerError(f"encoder {found.encoder} gives all texts the same vector: mean cosine above {_SAME}")
    measured = {}
    for place, part in asked.items():
        try:
            measured[place] = part.calibrate(found, embedder)
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
    return measured


def drawn(records: Sequence[Record], text: TextSpec, pairs: int, seed: int = 0, encoder: str = "") -> ReferencePairs:
    """Pairs of references: of different prompts, and of one.

    Pairs differ in text, and are drawn uniformly without repetition; where there are fewer than ``pairs``, all are
    taken. A prompt that is a pair's gives it in one order.

    Raises:
        DataError: fewer than two distinct references, or no two of different prompts.
    """
    entries = _entries(records, text)
    rng = random.Random(seed)
    unrelated = [(entries[i][1], entries[j][1]) for i, j in _choose(entries, pairs, rng)]
    by_prompt: dict[str, list[str]] = {}
    for prompt, reference in entries:
        by_prompt.setdefault(prompt, []).append(reference)
    related = [pair for texts in by_prompt.values() for pair in itertools.combinations(texts, 2)]
    return ReferencePairs(unrelated, rng.sample(related, min(pairs, len(related))), encoder)


def spec_to_calibrate(path: Path) -> RewardSpec:
    """A spec file, also where its ``calibrated`` terms still lack the floors that are to be measured.

    Raises:
        SpecError: the spec is wrong elsewhere.
    """
    try:
        return load_spec(path)
    except SpecError as error:
        lines = str(error).splitlines()
        lacking = [found[1] for line in lines if (found := _LACKS_FLOOR.search(line))]
        if len(lacking) < len(lines):
            raise
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name in lacking:
        content["terms"][name] = {**content["terms"][name], "floor": {"value": 0.0, "encoder": "not measured yet"}}
    return RewardSpec.model_validate(content, context={"folder": path.parent})


def as_yaml(settings: Mapping[str, Any]) -> str:
    """A part's settings as they stand in a spec."""
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=1000)


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
