"""results.parquet -> the page: its sentences are the template's, its numbers and verdicts are made here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pgsrm_lab.reproduce.credit.faults import CLASSES, PASSAGE_MEASURES, WANTED
from pgsrm_lab.reproduce.credit.likelihood_arms import BOTH, LIKELIHOOD_ARMS, SEMANTIC
from pgsrm_lab.reproduce.credit.passage_arms import DENSITY, PASSAGE_ARMS, PLAIN
from pgsrm_lab.reproduce.credit.passages import passages
from pgsrm_lab.reproduce.semantic.explaining import TINY
from pgsrm_lab.reproduce.semantic.judging import MEASURES, SPLITS
from pgsrm_lab.reproduce.semantic.verdicts import Part, child_of
from pgsrm_lab.reproduce.study import Row
from pgsrm_lab.reproduce.summary import Comparison, Results, cells, compare, shared
from pgsrm_lab.reproduce.writing import markdown
from pgsrm_plugin.report.compare import Verdict
from pgsrm_plugin.report.stats import Interval, interval

DECIDES = "faultless_mean"
"""Of a credit: the measure by which it is worth it or not."""
SHOWN = ("faultless_final", DECIDES, "steps_to", "one_wrong_final", "more_wrong_final", "broken_final")
ANSWERS = ("accuracy", "cosine", "contradicted", "length", "format")
PAIRS = (
    ("likelihood", "binary", ("accuracy", "cosine")),
    ("likelihood-prob", "binary", ("accuracy", "cosine")),
    ("likelihood", SEMANTIC, ("accuracy", "cosine")),
    (BOTH, SEMANTIC, ("accuracy", "cosine", "length")),
)
"""Which rewards of the explanations are compared, and by what."""


def render(results: Results, folder: Path, name: str) -> dict[str, str]:
    """The page's text by its path."""
    return {f"{name}.md": markdown(__package__, "credit.md.j2", {"name": name, **facts(results)})}


def facts(results: Results) -> dict[str, Any]:
    """What the page and report.html say."""
    return {
        **shared(results),
        "wanted": f"{100 * WANTED:.0f} %",
        "percent": PASSAGE_MEASURES[DECIDES],
        "columns": [PASSAGE_MEASURES[column] for column in SHOWN],
        "credit": _credit(results),
        "parts": [_likelihood(part) for part in parts_of(results)],
        "splits": SPLITS,
        "seconds": sum(float(row["seconds"]) for row in results.rows),
    }


def passage_results(results: Results) -> Results:
    """The runs on passages alone."""
    return dataclasses.replace(results, rows=[row for row in results.rows if row["arm"] in PASSAGE_ARMS])


def parts_of(results: Results) -> list[Part]:
    """The runs on explanations, child by child, the tiny one first."""
    rows = [row for row in results.rows if row["arm"] in LIKELIHOOD_ARMS]
    children = sorted({child_of(row) for row in rows}, key=lambda child: (child != TINY, child))
    return [
        Part(child, rows[0]["task"], dataclasses.replace(results, rows=[row for row in rows if child_of(row) == child]))
        for child in children
    ]


def said_of(results: Results, arm: str, column: str = DECIDES) -> Comparison | None:
    """An arm of the passages against plain."""
    (task,) = results.tasks
    return compare(results, task, arm, column)


def ratio(results: Results, task: str, arm: str, column: str, against: str) -> Interval | None:
    """A cost as a multiple of another arm's, seed by seed."""
    sides = [{row["seed"]: row[column] for row in results.of(task, name)} for name in (arm, against)]
    found = [sides[0][seed] / sides[1][seed] for seed in sides[0] if sides[0][seed] and sides[1].get(seed)]
    return interval(found) if found else None


def _credit(results: Results) -> dict[str, Any] | None:
    results = passage_results(results)
    if not results.rows:
        return None
    (task,) = results.tasks
    row, arms = results.rows[0], results.arms()
    said = {arm: found.verdict for arm in arms if arm != PLAIN and (found := said_of(results, arm))}
    return {
        "results": results,
        "row": row,
        "settings": json.loads(row["settings"]),
        "passages": len(passages()),
        "arms": [PASSAGE_ARMS[arm] for arm in arms],
        "start": {name: interval([float(one[f"{name}_start"]) for one in results.rows]) for name in CLASSES},
        "said": {word: [arm for arm, verdict in said.items() if verdict == word] for word in get_args(Verdict)},
        "table": [[f"`{arm}`", *cells(results, task, arm, SHOWN)] for arm in arms],
        "against": [_against(results, arm) for arm in arms if arm != PLAIN],
        "reached": sum(bool(one["reached"]) for one in results.rows),
        "scales": [pair for arm in arms if (pair := _scale(results, task, arm))],
        "costs": [_cost(results, task, arm) for arm in arms],
    }


def _against(results: Results, arm: str) -> list[str]:
    found = [said_of(results, arm, column) for column in (DECIDES, "faultless_final", "steps_to")]
    return [f"`{arm}`", *(_worded(one) for one in found)]


def _worded(found: Comparison | None) -> str:
    return f"{found.text}, {found.verdict}, p {found.p:.3f}" if found else ""


def _scale(results: Results, task: str, arm: str) -> list[str] | None:
    """A credit with one scale against the same with the other; None for what is no such credit."""
    other = arm.removesuffix(f"-{DENSITY}")
    found = compare(results, task, arm, DECIDES, other) if PASSAGE_ARMS[arm].role == DENSITY else None
    sizes = [_mean(results.of(task, name), "credit_size") for name in (other, arm)]
    return [f"`{other}`", *sizes, _worded(found)] if found else None


def _cost(results: Results, task: str, arm: str) -> list[str]:
    """Texts and encodings a response, the credit's share of a step, and a step's processor time."""
    rows = results.of(task, arm)
    times = [ratio(results, task, arm, column, PLAIN) for column in ("step_cpu", "first_cpu")]
    return [
        f"`{arm}`",
        *(_mean(rows, column) for column in ("credit_texts", "first_encodings", "credit_encodings")),
        *(_mean(rows, column, percent=True) for column in ("first_share", "credit_share")),
        _mean(rows, "step_cpu"),
        *(_times(one) for one in times),
    ]


def _mean(rows: Sequence[Row], column: str, percent: bool = False) -> str:
    values = [float(row[column]) for row in rows if row[column] is not None]
    if not values:
        return ""
    mean = sum(values) / len(values)
    return f"{100 * mean:.0f} %" if percent else f"{mean:.3g}"


def _times(found: Interval | None) -> str:
    return f"{found.mean:.2f} ({found.low:.2f} to {found.high:.2f})" if found else ""


def _likelihood(part: Part) -> dict[str, Any]:
    results, row = part.results, part.results.rows[0]
    arms = results.arms()
    return {
        "name": f"{part.child} child" if part.child == TINY else part.child.rpartition("/")[2],
        "child": part.child,
        "settings": json.loads(row["settings"]),
        "parameters": row["child_parameters"],
        "seeds": part.seeds,
        "runs": len(results.rows),
        "arms": [LIKELIHOOD_ARMS[arm] for arm in arms],
        "columns": [MEASURES[f"{column}_new"].title.partition(",")[0] for column in ANSWERS],
        "tables": {
            where: [
                [f"`{arm}`", *cells(results, part.task, arm, [f"{column}_{split}" for column in ANSWERS])]
                for arm in arms
            ]
            for split, where in SPLITS.items()
        },
        "claims": [claim for pair in PAIRS for claim in _claims(part, *pair)],
        "costs": [_price(part, arm) for arm in arms if results.values(part.task, arm, "step_cpu")],
    }


def _claims(part: Part, arm: str, other: str, columns: Sequence[str]) -> list[list[str]]:
    rows = []
    for column in columns:
        found = [compare(part.results, part.task, arm, f"{column}_{split}", other) for split in SPLITS]
        if all(found):
            title = MEASURES[f"{column}_new"].title.partition(",")[0]
            rows.append([f"`{arm}` less `{other}`", title, *map(_worded, found)])
    return rows


def _price(part: Part, arm: str) -> list[str]:
    rows = part.results.of(part.task, arm)
    return [
        f"`{arm}`",
        _mean(rows, "step_cpu"),
        _times(ratio(part.results, part.task, arm, "step_cpu", "binary")),
        _mean(rows, "policy_share", percent=True),
    ]
