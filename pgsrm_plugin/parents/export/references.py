"""The answers of a store by prompt, under one parent's settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pgsrm_plugin.asking.outcome import as_judged_now
from pgsrm_plugin.asking.store.answers import Answer, ParentConfig
from pgsrm_plugin.errors import DataError, did_you_mean
from pgsrm_plugin.parents.generation.prompts import prompt_id
from pgsrm_plugin.types import Prompt

ALL = "all"


@dataclass
class Answered:
    """One prompt and what the parent said to it, in the order of the samples."""

    prompt: Prompt
    item: str
    answers: list[Answer] = field(default_factory=list)

    @property
    def ok(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.ok]

    @property
    def references(self) -> tuple[str, ...]:
        """The references of all samples, repeats included."""
        return tuple(answer.reference for answer in self.ok if answer.reference is not None)


def settings_id(config: ParentConfig) -> str:
    """Eight hex digits that stand for a model with its revision, sampling, system prompt and extraction."""
    columns = {name: value for name, value in dataclasses.asdict(config).items() if name != "engine"}
    return hashlib.sha256(json.dumps(columns, sort_keys=True, default=str).encode()).hexdigest()[:8]


def describe_settings(config: ParentConfig) -> str:
    """A config in a line."""
    sampling = config.sampling
    parts = [config.model + (f"@{config.revision}" if config.revision else "")]
    if sampling.temperature is not None:
        parts.append(f"temperature {sampling.temperature:g}")
    parts += [f"top_p {sampling.top_p:g}"] if sampling.top_p < 1 else []
    parts.append(f"max_tokens {sampling.max_tokens}")
    if config.system is not None:
        parts.append(f"system {config.system[:30]!r}")
    if config.extract is not None:
        parts.append(f"extract {config.extract}")
    return ", ".join(parts)


def settings_in(answers: Iterable[Answer]) -> dict[str, tuple[ParentConfig, Counter[str]]]:
    """Each settings of the answers by its id, with how many answers have which status."""
    found: dict[str, tuple[ParentConfig, Counter[str]]] = {}
    for answer in answers:
        config = answer.config
        found.setdefault(settings_id(config), (config, Counter()))[1][answer.status] += 1
    return found


def choose(answers: Iterable[Answer], settings: str | None = None) -> dict[str, Answered]:
    """The answers under one settings, by the id of their prompt, as today's rules judge them.

    Args:
        settings: an id of :func:`settings_in`; ``all`` takes every answer; None is for a store that has one settings.

    Raises:
        DataError: there are no answers, several settings and none named, or none of that id.
    """
    configs: dict[str, ParentConfig] = {}
    prompts: dict[str, Answered] = {}
    for answer in answers:
        own = settings_id(answer.config)
        configs.setdefault(own, answer.config)
        if settings in (None, ALL, own):
            found = prompts.setdefault(prompt_id(answer.prompt), Answered(answer.prompt, answer.item))
            found.answers.append(as_judged_now(answer))
    if not configs:
        raise DataError("the store has no answers yet; run `pgsrm parent generate`")
    listed = "".join(f"\n  {own}  {describe_settings(config)}" for own, config in configs.items())
    if settings is None and len(configs) > 1:
        raise DataError(
            f"the store has answers under {len(configs)} settings; name one with --settings, or all:{listed}"
        )
    if settings not in (None, ALL, *configs):
        raise DataError(f"no answer has the settings {settings!r}{did_you_mean(str(settings), configs)}:{listed}")
    for found in prompts.values():
        found.answers.sort(key=lambda answer: (answer.sample, answer.key))
    return prompts
