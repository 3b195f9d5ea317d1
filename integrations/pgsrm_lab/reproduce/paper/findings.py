"""The paper's claims, judged: what its pages decide is decided here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pgsrm_lab.reproduce.paper.arms import of_role
from pgsrm_lab.reproduce.summary import Results, across_tasks, compare
from pgsrm_plugin.report.compare import Verdict

CLAIMS = {
    "smoother reward": ("smoothness",),
    "steadier PPO": ("kl_variance", "entropy_variance", "value_loss_variance"),
    "better sample efficiency": ("auc_train", "episodes_to_90"),
}
"""The paper's claims, each with the measures that it is judged by."""


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


def tally(results: Results, arm: str, claim: str, update: str = "") -> dict[Verdict, int]:
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
    for other in (of_role("claim")[0], results.study.baseline):
        found = [one for task in results.tasks if (one := compare(results, task, best, column, against=other))]
        theirs = across_tasks(results, other, column)
        if other != best and found:
            ahead.append((other, sum(one.verdict == "supported" for one in found), len(found)))
        if other != best and theirs:
            apart.append((other, mine.low > theirs.high or mine.high < theirs.low))
    return Advice(best, ahead, apart)
