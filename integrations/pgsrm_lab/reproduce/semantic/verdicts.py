"""What the runs say of each claim, by rule, for each child on each set of questions."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pgsrm_lab.reproduce.semantic.explaining import TINY
from pgsrm_lab.reproduce.semantic.judging import SPLITS
from pgsrm_lab.reproduce.semantic.preference import elo
from pgsrm_lab.reproduce.study import Row
from pgsrm_lab.reproduce.summary import LEAST_SEEDS, Results, compare
from pgsrm_plugin.report.compare import Verdict
from pgsrm_plugin.report.stats import Interval

PAPERS, START = "semantic", "sft"
BEST = "the paper's reward is preferred to all others"


@dataclass(frozen=True)
class Pair:
    """A claim that one arm is better than another.

    Attributes:
        column: the measure that decides, without its split.
        said: of the first arm.
    """

    arm: str
    other: str
    column: str
    said: str


PAIRS = (
    Pair(PAPERS, START, "cosine", "its explanations are better than those of SFT only"),
    Pair(PAPERS, "sft-longer", "cosine", "... and than those of SFT for as long"),
    Pair(PAPERS, "plain", "accuracy", "it answers more questions rightly than correctness and format alone"),
    Pair(PAPERS, "mixed", "cosine", "ROUGE beside the cosine dilutes it (summed)"),
    Pair("mixed-gdpo", "mixed", "cosine", "ours: with each term normalised, the mixture is better than summed"),
)


@dataclass(frozen=True)
class Part:
    """The runs of one child on one set of questions.

    Attributes:
        results: these runs alone.
    """

    child: str
    task: str
    results: Results

    @property
    def name(self) -> str:
        """On pages."""
        return f"{self.task}, {f'{TINY} child' if self.child == TINY else self.child.rpartition('/')[2]}"

    @property
    def seeds(self) -> int:
        """The most that an arm has."""
        return self.results.seeds


def parts(results: Results) -> list[Part]:
    """The tiny child's first, the sets in the order of the study."""
    children = sorted({child_of(row) for row in results.rows}, key=lambda child: (child != TINY, child))
    found = []
    for child in children:
        own = [row for row in results.rows if child_of(row) == child]
        found += [
            Part(child, task, dataclasses.replace(results, rows=[row for row in own if row["task"] == task]))
            for task in results.tasks
            if any(row["task"] == task for row in own)
        ]
    return found


def child_of(row: Row) -> str:
    """The child of a run."""
    return str(json.loads(row["settings"])["child"])


@dataclass(frozen=True)
class Claim:
    """A claim, and what the runs say of it on one split.

    Attributes:
        said: by the paper, or by us.
        rule: what decides.
        split: in the words of a page.
        found: the number with its interval.
    """

    said: str
    rule: str
    split: str
    found: str
    verdict: Verdict


@dataclass(frozen=True)
class Rating:
    """An arm's place by preference."""

    arm: str
    rating: Interval
    ahead: Sequence[str]
    behind: Sequence[str]


def scores(part: Part, split: str) -> dict[str, list[list[float]]]:
    """By arm that has as many seeds as any, for each of these, the likeness of each question's answer."""
    results = part.results
    by_arm = {arm: {row["seed"]: row for row in results.of(part.task, arm)} for arm in results.arms(part.task)}
    seeds = max((set(rows) for rows in by_arm.values()), key=len, default=set())
    return {
        arm: [json.loads(rows[seed]["cosines"])[split] for seed in sorted(seeds)]
        for arm, rows in by_arm.items()
        if seeds <= set(rows)
    }


def ratings(part: Part, split: str) -> list[Rating]:
    """The arms that have all seeds by preference, the best first; none where they are fewer than two."""
    found = scores(part, split)
    if len(found) < 2:
        return []
    each, gaps = _elo(json.dumps(found))
    return [
        Rating(
            arm,
            each[arm],
            [other for other in each if other != arm and gaps[arm, other].low > 0],
            [other for other in each if other != arm and gaps[arm, other].high < 0],
        )
        for arm in sorted(each, key=lambda arm: -each[arm].mean)
    ]


@functools.cache
def _elo(scored: str) -> tuple[dict[str, Interval], dict[tuple[str, str], Interval]]:
    """Made once of the same scores, as pages and figures ask for them again."""
    return elo(json.loads(scored))


def claims(part: Part) -> list[Claim]:
    """Each claim on each split, by rule; a claim whose arms have no runs is left out."""
    found: list[Claim] = []
    for split, where in SPLITS.items():
        rated = ratings(part, split)
        if len(rated) > 2 and any(one.arm == PAPERS for one in rated):
            found.append(_best(rated, where, part.seeds))
        found += [claim for pair in PAIRS if (claim := _compared(part, split, pair)) is not None]
    return found


def _best(rated: Sequence[Rating], where: str, seeds: int) -> Claim:
    place, papers = next((place, one) for place, one in enumerate(rated, start=1) if one.arm == PAPERS)
    ahead = len(papers.ahead) == len(rated) - 1
    said: Verdict = "supported" if ahead else "not supported" if papers.behind else "undecided"
    at = papers.rating
    text = f"rating {at.mean:.0f} ({at.low:.0f} to {at.high:.0f}), place {place} of {len(rated)}"
    rule = "its rating is above (below) another arm's where the 95 % interval of the difference leaves out 0"
    return Claim(BEST, rule, where, text, said if seeds >= LEAST_SEEDS else "undecided")


def _compared(part: Part, split: str, pair: Pair) -> Claim | None:
    found = compare(part.results, part.task, pair.arm, f"{pair.column}_{split}", pair.other)
    if found is None:
        return None
    rule = f"{pair.arm} less {pair.other}, {found.measure.title.partition(',')[0]}"
    return Claim(pair.said, rule, SPLITS[split], f"{found.text}, p {found.p:.3f}", found.verdict)
