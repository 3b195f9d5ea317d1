"""Answers of a file into a store, checked as those that a parent is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pgsrm_plugin.asking.answer_extraction import build_extractor
from pgsrm_plugin.asking.outcome import make_answer
from pgsrm_plugin.asking.store.answers import Answer, ParentConfig, Request
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.parents.generation.prompts import PromptRow
from pgsrm_plugin.parents.importing.answer_files import FileAnswer

_AT_A_TIME = 256


@dataclass
class TakenOver:
    """What became of a file's answers.

    Attributes:
        keys: of the answers that were taken.
        known: answers that the store had already, or has a reference for.
        unknown: names of answers whose prompt is not among the prompts.
        duplicates: names of answers to what the file had answered before.
        answered: the ids of the prompts that have an answer in the file.
        prompt_tokens, completion_tokens: of the answers that were taken.
    """

    keys: list[str] = field(default_factory=list)
    known: int = 0
    unknown: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    tokens: Counter[str] = field(default_factory=Counter)


def take_over(
    answers: Iterable[FileAnswer],
    prompts: Mapping[str, PromptRow],
    config: ParentConfig,
    store: ParentStore,
    provenance: Mapping[str, Any],
) -> TakenOver:
    """Adds the answers that the store lacks. Of several answers to one request the first counts, but that one with a
    reference takes the place of a failure.

    Args:
        prompts: by the ``custom_id`` of the answers, or by the prompt's id for rows that have their prompt.
        config: how the parent was asked; it makes the answers' keys, so that `generate` under it does not ask again.
        provenance: what is known of where they come from.

    Raises:
        StoreError: the store cannot be written.
    """
    extract = build_extractor(config.extract, config.sampling.stop)
    done, taken = TakenOver(), dict[str, bool]()
    waiting: list[Answer] = []
    for one in answers:
        own = one.custom_id if one.custom_id is not None else one.row.prompt_id if one.row is not None else ""
        row = prompts.get(own)
        if row is None:
            done.unknown.append(one.name)
            continue
        done.answered.add(row.prompt_id)
        made = make_answer(Request(row.prompt, one.sample, row.item), config, one.completion, extract, provenance)
        if made.key in taken and (taken[made.key] or not made.ok):
            done.duplicates.append(one.name)
            continue
        status = None if made.key in taken else store.status(made.key)
        known = status == "ok" or (status is not None and not made.ok)
        taken[made.key] = made.ok or status == "ok"
        if known:
            done.known += 1
            continue
        waiting.append(made)
        _account(done, made)
        if len(waiting) == _AT_A_TIME:
            store.extend(waiting)
            waiting = []
    store.extend(waiting)
    return done


def _account(done: TakenOver, made: Answer) -> None:
    done.keys.append(made.key)
    done.tokens["prompt"] += made.prompt_tokens or 0
    done.tokens["completion"] += made.completion_tokens or 0
