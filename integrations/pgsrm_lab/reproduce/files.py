"""Finished runs on disk: one file each, written at once, read back only where it is whole and of this version."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.study import FORMAT, Job
from pgsrm_plugin.data.files import write_rows
from pgsrm_plugin.data.whole import write_whole

RESULTS, CURVES, EXAMPLES = "results.parquet", "curves.parquet", "examples.parquet"


def is_finished(job: Job) -> bool:
    """Whether the very run that the job describes has left its result."""
    content = _read(job.file)
    return content is not None and content["digest"] == job.digest


def write_run(job: Job, content: dict[str, Any]) -> None:
    """Writes a run's result; a kill leaves the whole file or none."""
    job.file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(job.file, json.dumps(content).encode())


def read_runs(out: Path, protocols: Container[str]) -> list[dict[str, Any]]:
    """Every finished run of the protocols in a folder, in the order of task, arm, update rule and seed as written."""
    found = [content for path in sorted((out / "runs").glob("*.json")) if (content := _read(path)) is not None]
    return [content for content in found if content["protocol"] in protocols]


def write_tables(out: Path, rows: Sequence[dict[str, Any]], runs: Sequence[dict[str, Any]]) -> None:
    """results.parquet (one row a run), curves.parquet and examples.parquet."""
    write_rows(out / RESULTS, rows)
    write_rows(out / CURVES, [row for run in runs for row in _curve_rows(run)])
    write_rows(out / EXAMPLES, [{**_key(run), **example} for run in runs for example in run["examples"]])


def _curve_rows(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {**_key(run), "metric": metric, "step": step, "value": value}
        for metric, curve in run["curves"].items()
        for step, value in zip(curve["steps"], curve["values"], strict=True)
    ]


def _key(run: dict[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in ("task", "arm", "update", "seed", "digest")}


def _read(path: Path) -> dict[str, Any] | None:
    """None for a file that is not there, is cut short, or is of another version."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("format") == FORMAT else None
