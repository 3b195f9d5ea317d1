"""Finished runs -> the rows of results.parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.arms import ARMS, of_role
from pgsrm_lab.reproduce.files import read_runs, write_tables
from pgsrm_lab.reproduce.grid import Job
from pgsrm_lab.reproduce.measure import SHARE, episodes_to, row_of
from pgsrm_lab.tasks import TASKS
from pgsrm_plugin.errors import DataError

Row = Mapping[str, Any]


def collect(jobs: Sequence[Job]) -> list[Row]:
    """Reads every finished run of the jobs' protocol in their folder, writes the tables, and returns the rows.

    Runs of a task or reward that has changed since, or is no more, are left out.

    Raises:
        DataError: nothing is finished.
    """
    out, protocol = jobs[0].out, jobs[0].protocol
    runs = [run for run in read_runs(out, protocol.digest) if _is_current(run, jobs[0])]
    if not runs:
        raise DataError(f"{out}: no run is finished")
    rows = add_episodes([row_of(run) for run in runs], runs)
    order = {name: number for number, name in enumerate(ARMS)}
    pairs = sorted(
        zip(rows, runs, strict=True),
        key=lambda pair: (pair[0]["task"], pair[0]["update"], order[pair[0]["arm"]], pair[0]["seed"]),
    )
    write_tables(out, [row for row, _ in pairs], [run for _, run in pairs])
    return [row for row, _ in pairs]


def _is_current(run: Row, like: Job) -> bool:
    if run["task"] not in TASKS or run["arm"] not in ARMS:
        return False
    job = replace(like, **{name: run[name] for name in ("task", "arm", "update", "seed")})
    return bool(run["digest"] == job.digest)


def add_episodes(rows: Sequence[dict[str, Any]], runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Adds ``threshold``, ``episodes_to_90`` and ``reached_90`` to each row."""
    thresholds = {key: SHARE * best for key, best in best_final(rows).items()}
    added = []
    for row, run in zip(rows, runs, strict=True):
        curve = run["curves"]["val/train/chance"]
        threshold = thresholds.get((row["task"], row["update"]), row["final_train"])
        per_step = row["episodes"] // row["steps"]
        episodes, reached = episodes_to(threshold, curve["steps"], curve["values"], per_step)
        added.append({**row, "threshold": threshold, "episodes_to_90": episodes, "reached_90": reached})
    return added


def best_final(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """By task and update rule, the highest mean final accuracy among the claimed rewards and their baseline."""
    finals: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row["arm"] in of_role("claim", "baseline"):
            finals.setdefault((row["task"], row["update"], row["arm"]), []).append(row["final_train"])
    best: dict[tuple[str, str], float] = {}
    for (task, update, _), values in finals.items():
        mean = sum(values) / len(values)
        best[task, update] = max(mean, best.get((task, update), 0.0))
    return best


def tables_folder(results: Path) -> Path:
    """The folder of the tables, given itself or its results.parquet."""
    return results.parent if results.suffix == ".parquet" else results
