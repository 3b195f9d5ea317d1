"""Explanations by how many of their sentences are wrong: shares at a time, and the numbers of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pgsrm_lab.reproduce.credit.costs import STEP, mean_of
from pgsrm_lab.reproduce.credit.passages import SENTENCES, Passage, patterns, wrong_sentences
from pgsrm_lab.reproduce.measure import Measure, episodes_to
from pgsrm_lab.reproduce.study import Row, Run
from pgsrm_plugin.report.stats import area

CLASSES = ("faultless", "one_wrong", "more_wrong", "broken")
WANTED = 0.9

PASSAGE_MEASURES = {
    measure.column: measure
    for measure in (
        Measure(
            "faultless_final",
            "faultless at the end",
            "higher",
            True,
            "the probability that a sampled explanation has all sentences right, mean over prompts",
        ),
        Measure("faultless_mean", "faultless, mean over the run", "higher", True, "area under the curve of that share"),
        Measure(
            "steps_to",
            f"steps to {100 * WANTED:.0f} % faultless",
            "lower",
            about="linear between measurements; a run that does not get there counts with all of its steps",
        ),
        Measure("one_wrong_final", "one wrong sentence at the end", "lower", True, "exactly one"),
        Measure(
            "more_wrong_final",
            "several wrong sentences at the end",
            "lower",
            True,
            "never taught: sentences that were right before are so no more",
        ),
        Measure("broken_final", "broken at the end", "lower", True, "what remains: sentences that nobody taught"),
        Measure(
            "right_final", "right sentences at the end", "higher", True, "their share; a broken explanation has none"
        ),
    )
}
COST_MEASURES = {
    measure.column: measure
    for measure in (
        Measure("step_cpu", "processor seconds a step", "lower", about="of a whole step"),
        Measure("first_cpu", "of the first step", "lower", about="when no embedding is known"),
    )
}


def shares_of(chances: Sequence[Sequence[float]]) -> dict[str, float]:
    """The share of each class, and of right sentences, mean over passages.

    Args:
        chances: by passage, the probability of each of :func:`patterns`.

    >>> found = shares_of([[0.5, *[0.0] * 30, 0.25]])
    >>> [found[f"val/{name}"] for name in (*CLASSES, "right")]
    [0.5, 0.0, 0.25, 0.25, 0.5]
    """
    counts = [wrong_sentences(pattern) for pattern in patterns()]
    by_count = [
        sum(own for passage in chances for own, count in zip(passage, counts, strict=True) if count == wanted)
        / len(chances)
        for wanted in range(SENTENCES + 1)
    ]
    faultless, one, *more = by_count
    right = sum(share * (SENTENCES - count) / SENTENCES for count, share in enumerate(by_count))
    found = (faultless, one, sum(more), 1.0 - sum(by_count), right)
    return {f"val/{name}": value for name, value in zip((*CLASSES, "right"), found, strict=True)}


def faults_of(passage: Passage, text: str) -> str:
    """Which sentences of an explanation are wrong, counted from 1: "none", "2", "1, 4"; else "broken"."""
    for pattern in patterns():
        if text.strip() == passage.written(pattern):
            return ", ".join(str(number) for number, right in enumerate(pattern, start=1) if not right) or "none"
    return "broken"


def passage_row(run: Run) -> dict[str, Any]:
    """A finished run's row of results.parquet; its shares at each step are kept in it, as JSON."""
    curves = run["curves"]
    steps = curves["val/faultless"]["steps"]
    values = {name: curves[f"val/{name}"]["values"] for name in (*CLASSES, "right")}
    reached, whether = episodes_to(WANTED, steps, values["faultless"], 1)
    kept = ("task", "arm", "update", "seed", "episodes", "digest", "spec", "child_parameters")
    return {
        **{name: run[name] for name in kept},
        "steps": steps[-1],
        **{f"{name}_start": found[0] for name, found in values.items()},
        **{f"{name}_final": found[-1] for name, found in values.items()},
        "faultless_mean": area(steps, values["faultless"]),
        "steps_to": reached,
        "reached": whether,
        "shares": json.dumps({"steps": steps, **values}),
        **costs(run),
        "seconds": run["seconds"]["total"],
        **{name: json.dumps(run[name]) for name in ("versions", "machine", "settings")},
    }


def costs(run: Run) -> dict[str, float | None]:
    """What a step of a run costs."""
    curves = run["curves"]
    return {
        "step_cpu": mean_of(curves, STEP),
        "first_cpu": mean_of(curves, STEP, slice(1)),
        "credit_texts": mean_of(curves, "train/credit_texts"),
        "credit_encodings": mean_of(curves, "train/credit_encodings"),
        "first_encodings": mean_of(curves, "train/credit_encodings", slice(1)),
        "credit_size": mean_of(curves, "train/credit_size"),
        "credit_share": mean_of(curves, "time/credit_share"),
        "first_share": mean_of(curves, "time/credit_share", slice(1)),
        "policy_share": mean_of(curves, "time/policy_share"),
    }


def shares_over(row: Row, name: str) -> tuple[list[int], list[float]]:
    """A class's share over a run: steps and values."""
    found = json.loads(row["shares"])
    return found["steps"], found[name]
