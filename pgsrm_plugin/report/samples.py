"""Sample rollouts: what the policy wrote first and last, with every term's value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.report.run import ROLLOUTS, Run

Row = Mapping[str, Any]
_NEEDED = ("split", "when", "prompt", "response", "references")


@dataclass(frozen=True)
class Sampled:
    """What the policy answered, each term's raw value, and the words that made each guard fire that did."""

    response: str
    terms: Sequence[tuple[str, str]]
    fired: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A prompt, answered at the start and at the end of training."""

    prompt: str
    references: Sequence[str]
    before: Sampled
    after: Sampled


def samples(run: Run, split: str, count: int = 8) -> list[Pair]:
    """``count`` prompts of a split, evenly spread, as answered at the start and at the end of training.

    Raises:
        DataError: a rollout lacks a key, or the split has no rollouts at start and end.
    """
    before, after = (_answers(run, split, when) for when in ("start", "end"))
    shared = [prompt for prompt in before if prompt in after]
    if not shared:
        raise DataError(f"{run.name}: {ROLLOUTS} has no prompt of {split!r} that was answered at start and end")
    every = max(1, len(shared) // count)
    return [
        Pair(prompt, [*map(str, before[prompt]["references"])], _sampled(before[prompt]), _sampled(after[prompt]))
        for prompt in shared[::every][:count]
    ]


def _answers(run: Run, split: str, when: str) -> dict[str, Row]:
    answers = {}
    for number, row in enumerate(run.rollouts, start=1):
        for key in _NEEDED:
            if key not in row:
                raise DataError(f"{run.name}: {ROLLOUTS}:{number}: a rollout needs {key!r}")
        if (row["split"], row["when"]) == (split, when):
            answers[str(row["prompt"])] = row
    return answers


def _sampled(row: Row) -> Sampled:
    terms = [
        (name.removeprefix("reward/").replace("_", " "), f"{value:.2f}")
        for name, value in row.items()
        if f"{name}/weighted" in row
    ]
    return Sampled(str(row["response"]), terms, row.get("guard_words", {}))
