"""results.parquet -> the page: its sentences are the template's, its numbers and verdicts are made here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.files import EXAMPLES
from pgsrm_lab.reproduce.guards.rewards import ARMS
from pgsrm_lab.reproduce.guards.shares import MEASURES
from pgsrm_lab.reproduce.study import Row
from pgsrm_lab.reproduce.summary import LEAST_SEEDS, Results, cells, compare, shared
from pgsrm_lab.reproduce.writing import escaped, markdown
from pgsrm_lab.tasks.statements import STATEMENTS
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.report.compare import Verdict, verdict
from pgsrm_plugin.report.stats import Interval, interval

SHOWN = ("right_final", "wrong_final", "other_final", "right_mean")
MOST = 12
"""Prompts listed of those on which a guarded reward does not hold."""


def render(results: Results, folder: Path, name: str) -> dict[str, str]:
    """The page's text by its path."""
    return {f"{name}.md": markdown(__package__, "guards.md.j2", {"name": name, **facts(results, folder)})}


def facts(results: Results, folder: Path) -> dict[str, Any]:
    """What the page and report.html say."""
    return {
        **shared(results),
        "row": results.rows[0],
        "fingerprints": sorted({(row["arm"], row["fingerprint"]) for row in results.rows}),
        "commits": sorted({row["commit"] for row in results.rows}),
        "prompts": {task: len(STATEMENTS[task]()) for task in results.tasks},
        "start": {name: over_tasks(results, results.arms(), f"{name}_start") for name in ("right", "wrong", "other")},
        "spread": over_tasks(results, results.arms(), "start_spread"),
        "percent": MEASURES["right_final"],
        "arms_there": [_outcome(results, arm) for arm in results.arms()],
        "columns": [MEASURES[column] for column in SHOWN],
        "tables": [(task, _table(results, task)) for task in results.tasks],
        "paid": [(arm, [_paid(results, task, arm) for task in results.tasks]) for arm in results.arms()],
        "failed": _failed(results, folder / EXAMPLES),
        "most": MOST,
    }


def over_tasks(results: Results, arms: Sequence[str], column: str) -> Interval:
    """The mean over tasks and arms of each seed, with its interval over seeds."""
    seeds: dict[int, list[float]] = {}
    for row in results.rows:
        if row["arm"] in arms:
            seeds.setdefault(row["seed"], []).append(float(row[column]))
    return interval([sum(values) / len(values) for values in seeds.values()])


def course(results: Results, task: str, arm: str) -> Verdict:
    """Whether an arm's right answers rise (supported), fall (not supported), or neither can be said."""
    gains = results.values(task, arm, "right_gain")
    return verdict(interval(gains), "higher") if len(gains) >= LEAST_SEEDS else "undecided"


def _outcome(results: Results, arm: str) -> dict[str, Any]:
    courses = {task: course(results, task, arm) for task in results.tasks if results.of(task, arm)}
    return {
        "arm": ARMS[arm],
        "right": over_tasks(results, [arm], "right_final"),
        "wrong": over_tasks(results, [arm], "wrong_final"),
        "other": over_tasks(results, [arm], "other_final"),
        "rises": [task for task, said in courses.items() if said == "supported"],
        "falls": [task for task, said in courses.items() if said == "not supported"],
        "undecided": [task for task, said in courses.items() if said == "undecided"],
    }


def _table(results: Results, task: str) -> list[list[str]]:
    rows = []
    for arm in results.arms(task):
        found = compare(results, task, arm, "right_final") if arm != results.study.baseline else None
        against = f"{found.text}, {found.verdict}, p {found.p:.3f}" if found else ""
        rows.append([f"`{arm}`", *cells(results, task, arm, SHOWN), against])
    return rows


def _paid(results: Results, task: str, arm: str) -> str:
    """What a reward gives to right and wrong answers before any training, whatever the seed."""
    found = results.of(task, arm)
    if not found:
        return ""
    row = found[0]
    return f"{row['right_paid']:.2f} / {row['wrong_paid']:.2f}, {100 * row['ordered']:.0f} %"


def _failed(results: Results, path: Path) -> dict[str, dict[str, Any]]:
    """By guarded arm: how many greedy answers are not right at the end, and those met with most seeds."""
    if not path.is_file():
        return {}
    guarded = [arm for arm in results.arms() if ARMS[arm].role == "guarded"]
    found: dict[str, dict[str, Any]] = {}
    examples = [row for _, row in read_rows(path)]
    for arm in guarded:
        own = [row for row in examples if row["arm"] == arm]
        missed = [row for row in own if row["verdict"] != "right"]
        seeds = Counter(_key(row) for row in missed)
        first = {_key(row): row for row in missed}
        worst = sorted(first, key=lambda key: (-seeds[key], key))
        found[arm] = {
            "asked": len(own),
            "wrong": sum(row["verdict"] == "wrong" for row in missed),
            "other": sum(row["verdict"] == "other" for row in missed),
            "kinds": [(task, sum(row["task"] == task for row in missed)) for task in results.tasks],
            "rows": [_example(first[key], seeds[key]) for key in worst[:MOST]],
            "distinct": len(worst),
        }
    return found


def _key(row: Row) -> tuple[str, str, str]:
    return row["task"], row["prompt"], row["response"]


def _example(row: Row, seeds: int) -> dict[str, Any]:
    texts = {name: escaped(row[name]) for name in ("reference", "response")}
    return {**row, **texts, "seeds": seeds}
