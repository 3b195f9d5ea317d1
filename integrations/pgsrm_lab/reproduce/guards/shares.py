"""Right, wrong and other answers: their shares at a time, and the numbers of a run that are made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pgsrm_lab.reproduce.measure import Measure
from pgsrm_lab.reproduce.study import Row, Run
from pgsrm_lab.tasks.statements import Statement
from pgsrm_plugin.report.stats import area

CLASSES = ("right", "wrong", "other")

MEASURES = {
    measure.column: measure
    for measure in (
        Measure(
            "right_final",
            "right answers at the end",
            "higher",
            True,
            "the probability that a sampled answer is on the list of right ones, mean over prompts",
        ),
        Measure("wrong_final", "wrong answers at the end", "lower", True, "likewise, of the list's wrong ones"),
        Measure("other_final", "other answers at the end", "lower", True, "what remains: answers on neither list"),
        Measure("right_gain", "right answers, end less start", "higher", True, "the change from the warm start"),
        Measure("right_mean", "right answers, mean over the run", "higher", True, "area under the curve of that share"),
    )
}


def verdict_of(statement: Statement, answer: str) -> str:
    """``right``, ``wrong`` or ``other``, by the list alone; the reference itself is right."""
    answer = answer.strip()
    if answer in (statement.reference, *statement.right):
        return "right"
    return "wrong" if answer in statement.wrong else "other"


def shares(chances: Sequence[Mapping[str, float]], statements: Sequence[Statement]) -> dict[str, float]:
    """The share of each class, mean over prompts.

    Args:
        chances: by prompt, the probability of each listed answer.
    """
    split = [split_of(found, statement) for found, statement in zip(chances, statements, strict=True)]
    return {name: sum(one[name] for one in split) / len(split) for name in CLASSES}


def split_of(chances: Mapping[str, float], statement: Statement) -> dict[str, float]:
    """The share of each class on one prompt."""
    found = {"right": 0.0, "wrong": 0.0}
    for answer, chance in chances.items():
        found[verdict_of(statement, answer)] += chance
    return {**found, "other": 1.0 - sum(found.values())}


def row_of(run: Run) -> dict[str, Any]:
    """A finished run's row of results.parquet; its shares at each step are kept in it, as JSON."""
    curves, seconds = run["curves"], run["seconds"]
    values = {name: curves[f"val/{name}"]["values"] for name in CLASSES}
    steps = curves["val/right"]["steps"]
    kept = ("task", "arm", "update", "seed", "episodes", "digest", "spec", "fingerprint", "commit", "child_parameters")
    paid = ("start_spread", "right_paid", "wrong_paid", "ordered")
    return {
        **{name: run[name] for name in (*kept, *paid)},
        "steps": steps[-1],
        **{f"{name}_start": values[name][0] for name in CLASSES},
        **{f"{name}_final": values[name][-1] for name in CLASSES},
        "right_gain": values["right"][-1] - values["right"][0],
        "right_mean": area(steps, values["right"]),
        "shares": json.dumps({"steps": steps, **values}),
        "seconds": seconds["total"],
        "reward_share": seconds["reward"] / seconds["total"],
        **{name: json.dumps(run[name]) for name in ("versions", "machine", "settings")},
    }


def curve_of(row: Row, name: str) -> tuple[list[int], list[float]]:
    """A class's share over a run: steps and values."""
    found = json.loads(row["shares"])
    return found["steps"], found[name]


def ordered(right: Sequence[Sequence[float]], wrong: Sequence[Sequence[float]]) -> float:
    """The share of (right, wrong) pairs of one prompt whose right answer earns more; a tie is half.

    >>> ordered([[0.9, 0.2]], [[0.5, 0.2]])
    0.625
    """
    won = [
        1.0 if a > b else 0.5 if a == b else 0.0 for rs, ws in zip(right, wrong, strict=True) for a in rs for b in ws
    ]
    return sum(won) / len(won)
