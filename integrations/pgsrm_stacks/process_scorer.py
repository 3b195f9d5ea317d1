"""What the stacks' files share: one scorer a process, how a row is made, and what a stack cannot do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pgsrm_plugin.crosscheck import Use
from pgsrm_plugin.errors import SpecError, did_you_mean
from pgsrm_plugin.scorer.batching import MicroBatchSettings
from pgsrm_plugin.scorer.forks import ForkedLock
from pgsrm_plugin.scorer.scorer import LIMITS, Scorer, from_environment

_ELSEWHERE = "train with Lightning, or with verl's pgsrm_sync, which can"
_lock = ForkedLock()
_scorers: dict[tuple[str, float], Scorer] = {}


def process_scorer(use: Use, source: str | None = None, limits: MicroBatchSettings | None = None) -> Scorer:
    """The scorer of this process: one for each source and deadline, whoever asks, so that there is one encoder.

    Args:
        use: what the stack cannot do with rewards.
        source: a spec or the address of a service; None: what ``PGSRM_SPEC`` or ``PGSRM_URL`` says.
        limits: as :class:`~pgsrm_plugin.scorer.scorer.Scorer`.

    Raises:
        SpecError: there is no source, or the stack cannot use its reward.
        ScorerError: the encoder fails its self-test, or the service does not answer.
    """
    limits = limits or LIMITS
    name = source or from_environment()
    with _lock:
        if (name, limits.deadline_s) not in _scorers:
            _scorers[name, limits.deadline_s] = Scorer(name, limits=limits)
        scorer = _scorers[name, limits.deadline_s]
    scorer.check_use(use)
    return scorer


def stack_use(who: str, *, masks: bool = False, drops: bool = False) -> Use:
    """What a stack cannot do: it asks for single rows, or for what one rank has of a group.

    Args:
        masks: whether it has a word for a row without a reward.
        drops: whether it goes on without a response whose reward raised.
    """
    return Use(
        one_by_one=_ELSEWHERE,
        cannot_mask=None if masks else (who, _ELSEWHERE),
        cannot_stop=(who, _ELSEWHERE) if drops else None,
        without_tokens=_ELSEWHERE,
    )


def source_of(settings: Mapping[str, Any]) -> str | None:
    """What a stack's settings have as ``source``; other settings are the stack's own.

    Raises:
        SpecError: one of them means ``source``: were it ignored, the environment's reward would be taken instead.
    """
    for name in settings:
        if name != "source" and (name in ("spec", "url") or did_you_mean(name, ["source"])):
            raise SpecError(f"there is no setting {name!r}; a spec or an address is named by 'source'")
    source: str | None = settings.get("source")
    return source


def row_of(prompt: Any, response: Any, columns: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a stack's columns; those of a data set that hold its own answers give way."""
    kept = {name: value for name, value in columns.items() if name not in ("responses", "group")}
    return {**kept, "prompt": prompt, "response": response}


def rows_of(prompts: Sequence[Any], responses: Sequence[Any], columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a batch whose columns are lists; what is no list is no column."""
    lists = {name: values for name, values in columns.items() if isinstance(values, list)}
    return [
        row_of(prompts[i], response, {name: values[i] for name, values in lists.items()})
        for i, response in enumerate(responses)
    ]


def means(logs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number over rows that have the same keys; nothing where there is no row."""
    return {name: math.fsum(log[name] for log in logs) / len(logs) for name in (logs[0] if logs else ())}
