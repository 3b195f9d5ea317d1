"""Who is asked beside the encoder: models that a spec's parts name, and the policy."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast, get_args

from typing_extensions import Self

from pgsrm_plugin.asking.asked_once import AskedOnce
from pgsrm_plugin.asking.models import OwnModelSection
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.guards import Guard
from pgsrm_plugin.policy.asked_policy import AskedPolicy, BoundReader
from pgsrm_plugin.policy.base import TextScorer, Weights, Written
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.terms import Term
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.batch import written
from pgsrm_plugin.types import NamedModel, OwnModel, Row


@dataclass(frozen=True)
class OwnModels:
    """The models of a spec's parts, each section's built once.

    Attributes:
        placed: the models by their sections, as these are placed on a device.
        asked: what asks a model about each text once, by the sections of the parts.
        scorers: causal language models that terms ask in the policy's place, by the sections of the terms.
    """

    placed: dict[OwnModelSection, NamedModel] = field(default_factory=dict)
    asked: dict[OwnModelSection, AskedOnce] = field(default_factory=dict)
    scorers: dict[OwnModelSection, TextScorer] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: RewardSpec, built: Mapping[OwnModelSection, NamedModel] = MappingProxyType({})) -> Self:
        """Those of a spec's terms and guards.

        Args:
            built: used instead of building them, by their sections as they are placed.

        Raises:
            SpecError: a model cannot be built, or is none for its part.
            ScorerError: a model fails its self-test.
        """
        found, once = cls(), dict[OwnModelSection, AskedOnce]()
        device: str = getattr(spec.encoder, "device", "auto")
        parts: dict[str, Term | Guard] = {f"terms.{name}": term for name, term in spec.terms.items()}
        parts |= {f"guards.{name}": guard for name, guard in spec.guards.items()}
        for path, part in parts.items():
            needs = part.needs()
            try:
                for section in (needs.model, needs.scorer):
                    if section is not None and (there := section.placed(device)) not in found.placed:
                        found.placed[there] = built.get(there) or there.build()
                if needs.model is not None:
                    there = needs.model.placed(device)
                    model = cast("OwnModel", found.placed[there])
                    if isinstance(part, Term):
                        part.check_model(model)
                    found.asked[needs.model] = once.setdefault(there, AskedOnce(model, spec.cache_mb))
            except SpecError as error:
                raise SpecError(f"{path}.{error}") from error
            if needs.scorer is not None:
                found.scorers[needs.scorer] = cast("TextScorer", found.placed[needs.scorer.placed(device)])
        return found

    def readers(self, policy: AskedPolicy | None, text: TextSpec) -> dict[Hashable, BoundReader]:
        """Who is asked about tokens: the policy by its weights, models by their sections."""
        readers: dict[Hashable, BoundReader] = {}
        if policy is not None:
            readers |= {weights: BoundReader(policy, weights) for weights in get_args(Weights)}
        for section, scorer in self.scorers.items():
            readers[section] = BoundReader(AskedPolicy(scorer, functools.partial(_read_by, scorer, text)))
        return readers


def asked_stats(readers: Mapping[Hashable, BoundReader]) -> dict[str, float]:
    """How much a batch asked of the policy and of models in its place, over all of them."""
    stats: dict[str, float] = {}
    for asked in dict.fromkeys(reader.asked for reader in readers.values()):
        for name, value in asked.stats.items():
            stats[name] = stats.get(name, 0.0) + value
    return stats


def _read_by(scorer: TextScorer, text: TextSpec, row: Row) -> Written:
    """A response by a model's tokens; its text is theirs, as a tokenizer may write it in another way."""
    assert row.written is not None  # rows have it where a model is asked
    tokens = scorer.tokens(row.asked, row.written.text)
    return written(tokens, scorer.decode(tokens.response), text)
