"""results.parquet -> pages of Markdown: the templates' sentences, numbers and verdicts of :mod:`.findings`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.files import EXAMPLES
from pgsrm_lab.reproduce.measure import WARM_UP
from pgsrm_lab.reproduce.paper.arms import ARMS, needs_floor, of_role
from pgsrm_lab.reproduce.paper.findings import CLAIMS, above, advice, outcome, tally
from pgsrm_lab.reproduce.paper.measures import MEASURES, SHARE
from pgsrm_lab.reproduce.study import Row
from pgsrm_lab.reproduce.summary import Results, across_tasks, cells, compare, shared
from pgsrm_lab.reproduce.writing import escaped, markdown
from pgsrm_lab.tasks import load_task
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.report.compare import Verdict

SHOWN = ("final_train", "final_held_out", "auc_train", "auc_held_out", "semantic_train", "episodes_to_90")
STEADY = ("smoothness", "kl_variance", "entropy_variance", "value_loss_variance", "kl_jitter")
SHOWN_ACROSS = ("auc_train", "final_train", "semantic_train")
ORDER: tuple[Verdict, ...] = ("not supported", "undecided", "supported")
"""Of the claims on the first page: what was refuted comes first."""
PER_TASK = 4
"""Examples shown of a task."""


def render(results: Results, folder: Path, name: str) -> dict[str, str]:
    """Each page's text by its path: the findings in ``NAME.md``, and the tables in the folder ``NAME`` beside it."""
    examples = _examples(folder / EXAMPLES)
    pages = {
        f"{name}.md": ("findings", _findings(results)),
        f"{name}/verdicts.md": ("verdicts", {"compared": _compared(results)}),
        **{f"{name}/{task}.md": ("task", _task(results, task, examples.get(task, []))) for task in results.tasks},
        f"{name}/method.md": ("method", {"specs": _specs(results)}),
    }
    common = {"name": name, "warm_up": WARM_UP, **shared(results)}
    return {
        page: markdown(__package__, f"{template}.md.j2", {**common, **facts})
        for page, (template, facts) in pages.items()
    }


def _findings(results: Results) -> dict[str, Any]:
    claimed = [arm for arm in of_role("claim") if arm in results.arms()]
    claims = [
        {
            "title": claim,
            "outcome": outcome(results, claim),
            "arms": [(arm, tally(results, arm, claim)) for arm in claimed],
        }
        for claim in CLAIMS
    ]
    accuracy = MEASURES["auc_train"]
    means = {arm: across_tasks(results, arm, "auc_train") for arm in of_role("control")}
    return {
        "claims": sorted(claims, key=lambda claim: ORDER.index(claim["outcome"])),
        "controls": [
            (arm, accuracy.text(found.mean), above(results, arm, claimed)) for arm, found in means.items() if found
        ],
        "exponents": [
            (
                task,
                _mean(results, task, results.study.baseline),
                [_mean(results, task, arm) for _, arm in _exponents(results, task)],
            )
            for task in results.tasks
            if _exponents(results, task)
        ],
        "reinforce": [(arm, *found) for arm in claimed if (found := _slower(results, arm))],
        "advice": advice(results),
        "across": _across(results),
    }


def _slower(results: Results, arm: str) -> tuple[int, int] | None:
    """On how many tasks an arm learned slower than the baseline with the authors' update rule, and of how many."""
    compared = [compare(results, task, arm, "auc_train", update="reinforce") for task in results.tasks]
    found = [one for one in compared if one]
    return (sum(one.verdict == "not supported" for one in found), len(found)) if found else None


def _across(results: Results) -> list[list[str]]:
    rows = []
    for arm in results.arms():
        found = [(MEASURES[column], across_tasks(results, arm, column)) for column in SHOWN_ACROSS]
        spreads = [measure.spread(one) for measure, one in found if one]
        if len(spreads) == len(found):
            rows.append([arm, *spreads])
    return rows


def _compared(results: Results) -> list[tuple[str, list[dict[str, Any]]]]:
    """For each claimed reward and claim: a row a measure, a comparison a task."""
    return [
        (
            arm,
            [
                {
                    "title": claim,
                    "counts": tally(results, arm, claim),
                    "measures": [
                        (MEASURES[column], [compare(results, task, arm, column) for task in results.tasks])
                        for column in columns
                    ],
                }
                for claim, columns in CLAIMS.items()
            ],
        )
        for arm in of_role("claim")
        if arm in results.arms()
    ]


def _task(results: Results, task: str, passed: Sequence[Row]) -> dict[str, Any]:
    arms = results.arms(task)
    columns = [name for name in SHOWN if any(results.values(task, arm, name) for arm in arms)]
    compared = [
        (arm, [compare(results, task, arm, name) for name in columns]) for arm in arms if arm != results.study.baseline
    ]
    rows = [row for row in results.rows if row["task"] == task]
    held_out = [row["start_held_out"] for row in rows if row["start_held_out"] is not None]
    return {
        "task": load_task(task),
        "start": {
            "train": _average(row["start_train"] for row in rows),
            "held_out": _average(held_out) if held_out else None,
        },
        "share": SHARE,
        "columns": [MEASURES[name] for name in columns],
        "steady_columns": [MEASURES[name] for name in STEADY],
        "exponent_columns": [MEASURES[name] for name in SHOWN_ACROSS],
        "learned": [[arm, *cells(results, task, arm, columns)] for arm in arms],
        "against": [(arm, found) for arm, found in compared if all(found)],
        "steady": [[arm, *cells(results, task, arm, STEADY)] for arm in arms],
        "runs": [(arm, _runs(results.of(task, arm))) for arm in arms],
        "exponents": [
            [str(alpha), *cells(results, task, arm, SHOWN_ACROSS)] for alpha, arm in _exponents(results, task)
        ],
        "reinforce": [_reinforce(results, task, arm) for arm in results.arms(task, "reinforce")],
        "passed": passed,
    }


def _runs(rows: Sequence[Row]) -> dict[str, float]:
    return {
        "runs": len(rows),
        "reached": sum(bool(row["reached_90"]) for row in rows),
        "collapsed": sum(bool(row["collapsed"]) for row in rows),
        "wrong_cosine": _average(row["wrong_cosine"] for row in rows),
        "seconds": _average(row["seconds"] for row in rows),
        "scoring": _average(row["reward_share"] for row in rows),
    }


def _exponents(results: Results, task: str) -> list[tuple[int, str]]:
    """Each alpha and its reward; none where the task does not have all."""
    arms = [of_role("claim")[0], *of_role("alpha")]
    return list(zip((1, 2, 4, 8), arms, strict=True)) if set(arms) <= set(results.arms(task)) else []


def _reinforce(results: Results, task: str, arm: str) -> list[str]:
    found = compare(results, task, arm, "auc_train", update="reinforce") if arm != results.study.baseline else None
    both = [cell for update in ("ppo", "reinforce") for cell in cells(results, task, arm, ["auc_train"], update)]
    return [arm, *both, found.text if found else ""]


def _examples(path: Path) -> dict[str, list[Row]]:
    """By task, wrong answers of the first claimed reward that its embedding likes best."""
    if not path.is_file():
        return {}
    like = (of_role("claim")[0], "ppo", "train")
    chosen = [row for _, row in read_rows(path) if (row["arm"], row["update"], row["split"]) == like]
    found: dict[str, dict[tuple[str, str], Row]] = {}
    for row in sorted(chosen, key=lambda row: (-row["cosine"], row["prompt"])):
        texts = {name: escaped(row[name]) for name in ("prompt", "reference", "response")}
        found.setdefault(row["task"], {}).setdefault((row["reference"], row["response"]), {**row, **texts})
    return {task: list(rows.values())[:PER_TASK] for task, rows in found.items()}


def _specs(results: Results) -> list[tuple[str, str, str]]:
    """Each reward's spec, and the task whose floor stands in it, if one does."""
    seen = {row["arm"]: row for row in reversed(results.rows)}
    return [(arm, seen[arm]["spec"], seen[arm]["task"] if needs_floor(ARMS[arm]) else "") for arm in results.arms()]


def _mean(results: Results, task: str, arm: str) -> str:
    return MEASURES["auc_train"].text(_average(results.values(task, arm, "auc_train")))


def _average(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
