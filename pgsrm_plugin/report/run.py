"""What a finished training run left behind: metrics.csv, rollouts.jsonl and run.json."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pgsrm_plugin.errors import DataError

METRICS, ROLLOUTS, INFO = "metrics.csv", "rollouts.jsonl", "run.json"


class RunInfo(BaseModel):
    """The content of run.json. It goes onto the page as it is: no paths, no host names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str = Field(min_length=1, description="runs of one label are drawn as one curve with a band over seeds")
    seed: int
    episodes: int = Field(ge=1, description="responses that were sampled and scored for training")
    spec: str = Field(description="the reward spec's YAML text")
    seconds: dict[str, float] = Field({}, description="wall time by what it was spent on; `total` is the whole run")
    settings: dict[str, str | int | float | bool | None] = {}
    versions: dict[str, str] = {}
    machine: dict[str, str] = {}


@dataclass(frozen=True)
class Series:
    """One metric over a run: optimizer steps, ascending, and the value at each."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """A finished run, as the report reads it."""

    info: RunInfo
    series: Mapping[str, Series]
    rollouts: tuple[Mapping[str, Any], ...]
    name: str

    @property
    def label(self) -> str:
        return self.info.label

    def metric(self, name: str) -> Series:
        """The series of a metric.

        Raises:
            DataError: the run logged no such metric.
        """
        if name not in self.series:
            raise DataError(
                f"{self.name}: {METRICS} has no values of {name!r} (it has: {', '.join(sorted(self.series))})"
            )
        return self.series[name]


def write_info(folder: Path, info: RunInfo) -> None:
    """Writes run.json; do it last, it marks the run as finished."""
    (folder / INFO).write_text(info.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_run(folder: str | Path) -> Run:
    """Reads a run's folder.

    Raises:
        DataError: a file is missing, empty or malformed; the message names the file and, where there is one, the line.
    """
    folder = Path(folder)
    name = "/".join(folder.parts[-2:])
    try:
        info = RunInfo.model_validate_json(_text(folder / INFO))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{folder / INFO}: {where}: {first['msg']}") from None
    return Run(info, _read_series(folder / METRICS), _read_rollouts(folder / ROLLOUTS), name)


def _text(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path}: no such file; the run did not finish, or this is no run's folder")
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        raise DataError(f"{path}: the file is empty; the run did not finish")
    return text


def _read_series(path: Path) -> dict[str, Series]:
    reader = csv.DictReader(_text(path).splitlines())
    if "step" not in (reader.fieldnames or ()):
        raise DataError(f"{path}:1: there is no column `step`; expected what Lightning's CSVLogger writes")
    points: dict[str, dict[int, float]] = {}
    for row in reader:
        try:
            step = int(row.pop("step"))
            for name, cell in row.items():
                if cell:
                    points.setdefault(name, {})[step] = float(cell)
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}:{reader.line_num}: not a row of numbers ({error})") from None
    if not points:
        raise DataError(f"{path}: there are no rows below the header; the run did not finish")
    ordered = {name: sorted(by_step.items()) for name, by_step in points.items()}
    return {name: Series(*map(tuple, zip(*pairs, strict=True))) for name, pairs in ordered.items()}


def _read_rollouts(path: Path) -> tuple[Mapping[str, Any], ...]:
    rows = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{number}: not JSON ({error.msg})") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: a rollout is an object, not {type(row).__name__}")
        rows.append(row)
    return tuple(rows)
