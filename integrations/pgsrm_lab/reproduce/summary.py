"""results.parquet -> comparisons and verdicts, by rule."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.files import RESULTS
from pgsrm_lab.reproduce.measure import Measure
from pgsrm_lab.reproduce.study import Row, Study
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.report.compare import Verdict, least_p, sign_flip_p, stratified_iqm, verdict
from pgsrm_plugin.report.stats import Interval, interval

LEAST_SEEDS = 3
"""With fewer, nothing is said."""


@dataclass(frozen=True)
class Results:
    """The rows of a study's results.parquet. Where no update rule is named, its main one is meant."""

    study: Study
    rows: Sequence[Row]

    @classmethod
    def read(cls, study: Study, path: Path) -> Results:
        """Reads results.parquet, or a folder's.

        Raises:
            DataError: there is none, or it is of something else.
        """
        path = path / RESULTS if path.is_dir() else path
        rows = [row for _, row in read_rows(path)]
        missing = {"task", "arm", "update", "seed", *study.measures} - set(rows[0] if rows else ())
        if missing:
            raise DataError(f"{path} is no table of `pgsrm reproduce` (no column {sorted(missing)[0]!r})")
        return cls(study, [row for row in rows if row["arm"] in study.arms and row["task"] in study.tasks])

    @property
    def tasks(self) -> list[str]:
        """In the order of the study."""
        return [task for task in self.study.tasks if any(row["task"] == task for row in self.rows)]

    @property
    def seeds(self) -> int:
        """The most seeds that an arm has on a task; runs of several children may have the same."""
        found = (self.of(row["task"], row["arm"], row["update"]) for row in self.rows)
        return max((len({row["seed"] for row in rows}) for rows in found), default=0)

    def arms(self, task: str | None = None, update: str = "") -> list[str]:
        """Those with a run (on the task, if one is given), in the order of the study."""
        rule = update or self.study.update
        there = {row["arm"] for row in self.rows if row["update"] == rule and task in (None, row["task"])}
        return [name for name in self.study.arms if name in there]

    def of(self, task: str, arm: str, update: str = "") -> list[Row]:
        """The runs of an arm on a task, by seed."""
        rule = update or self.study.update
        found = [r for r in self.rows if (r["task"], r["arm"], r["update"]) == (task, arm, rule)]
        return sorted(found, key=lambda row: row["seed"])

    def values(self, task: str, arm: str, column: str, update: str = "") -> list[float]:
        """A measure of these runs; [] where the task has no such measure."""
        return [float(row[column]) for row in self.of(task, arm, update) if row[column] is not None]


@dataclass(frozen=True)
class Comparison:
    """One arm against another on a task, paired by seed.

    Attributes:
        gap: mean difference with its 95 % bootstrap interval.
        p: of the paired sign-flip test.
        verdict: whether the first is better in the measure's wanted direction.
    """

    task: str
    arm: str
    measure: Measure
    gap: Interval
    p: float
    pairs: int
    verdict: Verdict

    @property
    def text(self) -> str:
        """The difference with its interval, in the measure's unit."""
        return self.measure.gap(self.gap)


def compare(
    results: Results, task: str, arm: str, column: str, against: str = "", update: str = ""
) -> Comparison | None:
    """An arm against another (default: the baseline); None where one has no runs, or the task no such measure."""
    sides = [
        {r["seed"]: r[column] for r in results.of(task, name, update)}
        for name in (arm, against or results.study.baseline)
    ]
    seeds = [seed for seed in sides[0] if seed in sides[1] and None not in (sides[0][seed], sides[1][seed])]
    if not seeds:
        return None
    gaps = [float(sides[0][seed]) - float(sides[1][seed]) for seed in seeds]
    measure, gap = results.study.measures[column], interval(gaps)
    said: Verdict = verdict(gap, measure.better) if len(gaps) >= LEAST_SEEDS else "undecided"
    return Comparison(task, arm, measure, gap, sign_flip_p(gaps), len(gaps), said)


def across_tasks(results: Results, arm: str, column: str) -> Interval | None:
    """The interquartile mean over tasks and seeds; None for an arm that does not have every task."""
    strata = [results.values(task, arm, column) for task in results.tasks]
    return stratified_iqm(strata) if strata and all(strata) else None


def cells(results: Results, task: str, arm: str, columns: Iterable[str], update: str = "") -> list[str]:
    """Means with their intervals; empty where a task has no such measure."""
    measures = results.study.measures
    values = {column: results.values(task, arm, column, update) for column in columns}
    return [measures[column].spread(interval(found)) if found else "" for column, found in values.items()]


def shared(results: Results) -> dict[str, Any]:
    """What every page may say, report.html too."""
    study = results.study
    return {
        "results": results,
        "arms": study.arms,
        "measures": study.measures,
        "baseline": study.baseline,
        "least_seeds": LEAST_SEEDS,
        "least_p": least_p(results.seeds),
        **{name: json.loads(results.rows[0][name]) for name in ("settings", "versions", "machine")},
    }
