"""results.parquet -> comparisons and verdicts, by rule. What the pages decide is decided here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.arms import ARMS, of_role
from pgsrm_lab.reproduce.files import RESULTS
from pgsrm_lab.reproduce.measure import MEASURES, WARM_UP, Measure
from pgsrm_lab.tasks import TASKS
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.report.compare import Verdict, least_p, sign_flip_p, stratified_iqm, verdict
from pgsrm_plugin.report.stats import Interval, interval

BASELINE = "binary"
CLAIMS = {
    "smoother reward": ("smoothness",),
    "steadier PPO": ("kl_variance", "entropy_variance", "value_loss_variance"),
    "better sample efficiency": ("auc_train", "episodes_to_90"),
}
"""The paper's claims, each with the measures that it is judged by."""
LEAST_SEEDS = 3
"""With fewer, nothing is said."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """The rows of a results.parquet."""

    rows: Sequence[Row]

    @classmethod
    def read(cls, path: Path) -> Results:
        """Reads results.parquet, or a folder's.

        Raises:
            DataError: there is none, or it is of something else.
        """
        path = path / RESULTS if path.is_dir() else path
        rows = [row for _, row in read_rows(path)]
        missing = {"task", "arm", "update", "seed", *MEASURES} - set(rows[0] if rows else ())
        if missing:
            raise DataError(f"{path} is no table of `pgsrm reproduce` (no column {sorted(missing)[0]!r})")
        return cls([row for row in rows if row["arm"] in ARMS and row["task"] in TASKS])

    @property
    def tasks(self) -> list[str]:
        """In the order of the paper."""
        return [task for task in TASKS if any(row["task"] == task for row in self.rows)]

    @property
    def seeds(self) -> int:
        """The most seeds that an arm has on a task."""
        return max((len(self.of(r["task"], r["arm"], r["update"])) for r in self.rows), default=0)

    def arms(self, task: str | None = None, update: str = "ppo") -> list[str]:
        """Those with a run (on the task, if one is given), in the order of :data:`ARMS`."""
        there = {row["arm"] for row in self.rows if row["update"] == update and task in (None, row["task"])}
        return [name for name in ARMS if name in there]

    def of(self, task: str, arm: str, update: str = "ppo") -> list[Row]:
        """The runs of an arm on a task, by seed."""
        found = [r for r in self.rows if (r["task"], r["arm"], r["update"]) == (task, arm, update)]
        return sorted(found, key=lambda row: row["seed"])

    def values(self, task: str, arm: str, column: str, update: str = "ppo") -> list[float]:
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


@dataclass(frozen=True)
class Advice:
    """The recommended reward.

    Attributes:
        ahead: of which rewards, on how many tasks by the rule for verdicts, and of how many.
        apart: from which rewards over all tasks, and whether the intervals are apart.
    """

    arm: str
    ahead: Sequence[tuple[str, int, int]]
    apart: Sequence[tuple[str, bool]]


def compare(
    results: Results, task: str, arm: str, column: str, against: str = BASELINE, update: str = "ppo"
) -> Comparison | None:
    """An arm against another; None where one has no runs, or the task no such measure."""
    sides = [{r["seed"]: r[column] for r in results.of(task, name, update)} for name in (arm, against)]
    seeds = [seed for seed in sides[0] if seed in sides[1] and None not in (sides[0][seed], sides[1][seed])]
    if not seeds:
        return None
    gaps = [float(sides[0][seed]) - float(sides[1][seed]) for seed in seeds]
    measure, gap = MEASURES[column], interval(gaps)
    said: Verdict = verdict(gap, measure.better) if len(gaps) >= LEAST_SEEDS else "undecided"
    return Comparison(task, arm, measure, gap, sign_flip_p(gaps), len(gaps), said)


def tally(results: Results, arm: str, claim: str, update: str = "ppo") -> dict[Verdict, int]:
    """How often a claim was supported, not supported, and undecided, over its measures and the tasks."""
    counts: dict[Verdict, int] = {"supported": 0, "not supported": 0, "undecided": 0}
    for column in CLAIMS[claim]:
        for task in results.tasks:
            found = compare(results, task, arm, column, update=update)
            if found is not None:
                counts[found.verdict] += 1
    return counts


def outcome(results: Results, claim: str) -> Verdict:
    """What more than half of the claimed rewards' comparisons say; undecided where there is no such verdict."""
    counts = Counter[Verdict]()
    for arm in of_role("claim"):
        counts.update(tally(results, arm, claim))
    told: tuple[Verdict, ...] = ("supported", "not supported")
    return next((said for said in told if 2 * counts[said] > counts.total()), "undecided")


def across_tasks(results: Results, arm: str, column: str) -> Interval | None:
    """The interquartile mean over tasks and seeds; None for an arm that does not have every task."""
    strata = [results.values(task, arm, column) for task in results.tasks]
    return stratified_iqm(strata) if strata and all(strata) else None


def above(results: Results, arm: str, others: Sequence[str], column: str = "auc_train") -> list[str]:
    """Those whose interval over tasks lies below the arm's."""
    mine = across_tasks(results, arm, column)
    intervals = {other: across_tasks(results, other, column) for other in others}
    return [other for other, found in intervals.items() if mine and found and found.high < mine.low]


def advice(results: Results, column: str = "auc_train") -> Advice | None:
    """The semantic reward with the highest interquartile mean over all tasks."""
    means = {arm: across_tasks(results, arm, column) for arm in of_role("claim", "improved")}
    known = {arm: found for arm, found in means.items() if found is not None}
    if not known:
        return None
    best = max(known, key=lambda arm: known[arm].mean)
    mine, ahead, apart = known[best], [], []
    for other in (of_role("claim")[0], BASELINE):
        found = [one for task in results.tasks if (one := compare(results, task, best, column, against=other))]
        theirs = across_tasks(results, other, column)
        if other != best and found:
            ahead.append((other, sum(one.verdict == "supported" for one in found), len(found)))
        if other != best and theirs:
            apart.append((other, mine.low > theirs.high or mine.high < theirs.low))
    return Advice(best, ahead, apart)


def shared(results: Results) -> dict[str, Any]:
    """What every page may say, report.html too."""
    return {
        "results": results,
        "arms": ARMS,
        "measures": MEASURES,
        "baseline": BASELINE,
        "least_seeds": LEAST_SEEDS,
        "least_p": least_p(results.seeds),
        "warm_up": WARM_UP,
        **{name: json.loads(results.rows[0][name]) for name in ("settings", "versions", "machine")},
    }
