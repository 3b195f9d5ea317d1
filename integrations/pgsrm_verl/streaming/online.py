"""The online parent of a streaming run: references, during training, for prompts that have none."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pgsrm_plugin.asking.answer_extraction import build_extractor
from pgsrm_plugin.asking.engines import build_engine
from pgsrm_plugin.asking.online import OnlineParent
from pgsrm_plugin.asking.store.answers import ParentConfig, Sampling
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.parents.generation.prompts import read_system
from pgsrm_plugin.types import RewardSample
from pgsrm_verl.settings import ParentSettings

logger = logging.getLogger(__name__)
_ENGINE_KEYS = {
    "openai": ("base_url", "api_key_env", "concurrency", "deadline_s"),
    "hf": (),
}


@dataclass
class AskedOnline:
    """A parent with its store, and what is logged of it.

    Attributes:
        parent: asks; its budget is hard.
        budget: the most calls of this run.
    """

    parent: OnlineParent
    budget: int
    _logged: int = 0

    async def with_references(self, sample: RewardSample) -> RewardSample:
        """The sample with the parent's references, if it has none.

        Raises:
            ScorerError: the budget is spent, or the parent has no reference for the prompt.
        """
        if sample.references:
            return sample
        references = await self.parent.references_async(sample.prompt)
        calls = self.parent.counts.calls
        if calls >= max(1, 2 * self._logged):
            self._logged = calls
            logger.warning("the online parent was asked %d times; pgsrm.parent.budget is %d", calls, self.budget)
        return replace(sample, references=references)

    def numbers(self) -> dict[str, float]:
        """What each row carries: totals of this run so far, and the calls that the budget has left."""
        counts = self.parent.counts
        return {
            "pgsrm/parent_calls": float(counts.calls),
            "pgsrm/parent_hits": float(counts.hits),
            "pgsrm/parent_failures": float(counts.failures),
            "pgsrm/parent_tokens": float(counts.prompt_tokens + counts.completion_tokens),
            "pgsrm/parent_budget_left": float(self.budget - counts.calls),
        }


def check_parent(settings: ParentSettings, reward: Mapping[str, Any]) -> None:
    """Refuses, before anything starts, what the worker would refuse.

    Raises:
        SpecError: several reward workers, a key of another engine, or a wrong extraction rule.
        DataError: the system prompt cannot be read.
    """
    workers = reward.get("num_workers") or 1
    if workers != 1:
        raise SpecError(
            f"pgsrm.parent needs reward.num_workers=1, not {workers}: the store has one writer, the budget one account"
        )
    for name in _ENGINE_KEYS["openai"]:
        if settings.engine != "openai" and name in settings.model_fields_set:
            raise SpecError(f"pgsrm.parent.{name} is for engine openai, not {settings.engine}")
    if settings.engine == "openai" and settings.base_url is None:
        raise SpecError("pgsrm.parent.base_url is missing, e.g. http://127.0.0.1:8000/v1")
    if settings.samples > 1 and settings.temperature == 0:
        raise SpecError(f"pgsrm.parent.samples is {settings.samples}, and at temperature 0 they are all the same")
    build_extractor(settings.extract)
    read_system(settings.system)


def open_parent(settings: ParentSettings) -> AskedOnline:
    """Opens the store for writing and builds the engine.

    Raises:
        SpecError: a setting is wrong, or the model cannot be loaded.
        StoreError: the store is none, damaged, or another process is writing to it.
    """
    config = ParentConfig(
        settings.engine,
        settings.model,
        settings.revision,
        Sampling(settings.temperature, settings.top_p, settings.max_tokens, settings.seed),
        read_system(settings.system),
        settings.extract,
    )
    given = settings.model_dump(include=set(_ENGINE_KEYS[settings.engine]))
    engine = build_engine(config, **given)
    store = ParentStore.open(Path(settings.store).expanduser(), create=True)
    return AskedOnline(OnlineParent(store, engine, settings.budget, settings.samples), settings.budget)
