"""Finished runs -> the rows of results.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pgsrm_lab.reproduce.files import read_runs, write_tables
from pgsrm_lab.reproduce.study import Job, Row, Run
from pgsrm_plugin.errors import DataError


def collect(jobs: Sequence[Job]) -> list[Row]:
    """Reads every finished run that belongs with the jobs in their folder, writes the tables, and returns the rows.

    Runs of a task or reward that has changed since, or is no more, are left out.

    Raises:
        DataError: nothing is finished.
    """
    out, study = jobs[0].out, jobs[0].study
    protocols = [protocol for job in jobs for protocol in study.together(job.protocol)]
    like = {protocol.digest: replace(jobs[0], protocol=protocol) for protocol in protocols}
    runs = [run for run in read_runs(out, like) if _is_current(run, like[run["protocol"]])]
    if not runs:
        raise DataError(f"{out}: no run is finished")
    rows = [{"study": study.name, **row} for row in study.rows(runs)]
    order = {name: number for number, name in enumerate(study.arms)}
    pairs = sorted(
        zip(rows, runs, strict=True),
        key=lambda pair: (pair[0]["task"], pair[0]["update"], order[pair[0]["arm"]], pair[0]["seed"]),
    )
    write_tables(out, [row for row, _ in pairs], [run for _, run in pairs])
    return [row for row, _ in pairs]


def _is_current(run: Run, like: Job) -> bool:
    if run["task"] not in like.study.tasks or run["arm"] not in like.study.arms:
        return False
    job = replace(like, **{name: run[name] for name in ("task", "arm", "update", "seed")})
    return bool(run["digest"] == job.digest)


def tables_folder(results: Path) -> Path:
    """The folder of the tables, given itself or its results.parquet."""
    return results.parent if results.suffix == ".parquet" else results
