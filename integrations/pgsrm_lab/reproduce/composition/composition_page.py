"""results.parquet -> the page and report.html: their sentences are the templates', their numbers are made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.composition.outcomes import LAST, MEASURES, TERMS
from pgsrm_lab.reproduce.composition.ways import ARMS, LEARNED
from pgsrm_lab.reproduce.guards.page import over_tasks
from pgsrm_lab.reproduce.summary import Results, cells, compare, shared
from pgsrm_lab.reproduce.writing import markdown, write_html
from pgsrm_plugin.audit.people.evaluation import cell_of

SHOWN = tuple(MEASURES)
RATINGS = "ratings.json"
"""What `pgsrm evaluate --json` wrote about aggregations, where it stands beside the results."""


def render(results: Results, folder: Path, name: str) -> dict[str, str]:
    """The page's text by its path."""
    return {f"{name}.md": markdown(__package__, "composition.md.j2", {"name": name, **facts(results, folder)})}


def write_report(results: Results, out: Path) -> Path:
    """Writes report.html into the results' folder."""
    return write_html(__package__, out, {"title": "Three terms, composed", **facts(results, out)})


def facts(results: Results, folder: Path) -> dict[str, Any]:
    """What the page and report.html say."""
    (task,) = results.tasks
    arms = results.arms()
    chosen = [row["chosen"] for row in results.of(task, LEARNED) if row["chosen"] is not None]
    return {
        **shared(results),
        "row": results.rows[0],
        "arms_there": [ARMS[arm] for arm in arms],
        "columns": [MEASURES[column] for column in SHOWN],
        "table": [[f"`{arm}`", *cells(results, task, arm, SHOWN)] for arm in arms],
        "against": [_against(results, task, arm) for arm in arms if arm != results.study.baseline],
        "start": {name: over_tasks(results, arms, f"{name}_start") for name in ("right", "wrong", "other")},
        "percent": MEASURES["right_final"],
        "chosen": max(chosen, default=None),
        "least_chosen": min(chosen, default=None),
        "seconds": sum(float(row["seconds"]) for row in results.rows),
        "terms": TERMS,
        "last": LAST,
        "ratings": _ratings(folder / RATINGS),
    }


def _against(results: Results, task: str, arm: str) -> list[str]:
    said = []
    for column in ("right_final", "likeness_term", "short_term"):
        found = compare(results, task, arm, column)
        said.append(f"{found.text}, {found.verdict}, p {found.p:.3f}" if found else "")
    return [f"`{arm}`", *said]


def _ratings(path: Path) -> dict[str, Any] | None:
    """The table of an evaluation, if there is one."""
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    names = [one["name"] for one in found["specs"][0]["measures"]]
    rows = [[f"`{one['spec']}`", *map(cell_of, one["measures"])] for one in found["specs"]]
    return {**found, "names": names, "table": rows}
