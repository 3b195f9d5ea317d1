"""results.parquet -> the page and report.html: sentences are the templates', numbers and verdicts are made here."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.files import CURVES, EXAMPLES
from pgsrm_lab.reproduce.semantic.judging import COLUMNS, MEASURES, SPLITS
from pgsrm_lab.reproduce.semantic.mixtures import ARMS
from pgsrm_lab.reproduce.semantic.preference import elo
from pgsrm_lab.reproduce.study import Row
from pgsrm_lab.reproduce.summary import LEAST_SEEDS, Results, cells, compare, shared
from pgsrm_lab.reproduce.writing import escaped, markdown, write_html
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.report.compare import Verdict
from pgsrm_plugin.report.figures import COLOURS
from pgsrm_plugin.report.stats import Interval, interval
from pgsrm_plugin.report.templates import drawn

TITLE = "Semantic GRPO, put to the test"
PAPERS, START = "semantic", "sft"
TABLE = (
    "cosine",
    "accuracy",
    "claims",
    "rouge",
    "format",
    "contradicted",
    "length",
    "consistent",
    "repetition",
    "overpaid",
)
MOST = 2
"""Questions of each split whose answers are shown."""
_INK = "#8a8f98"


@dataclass(frozen=True)
class Claim:
    """A claim, and what the runs say of it on one split.

    Attributes:
        said: by the paper, or by us.
        rule: what decides.
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


def render(results: Results, folder: Path, name: str) -> dict[str, str]:
    """The page's text by its path."""
    return {f"{name}.md": markdown(__package__, "semantic.md.j2", {"name": name, **facts(results, folder)})}


def write_report(results: Results, out: Path) -> Path:
    """Writes report.html into the results' folder."""
    drawings = [
        (about, drawn(figure, f"figure-{number}")) for number, (about, figure) in enumerate(_figures(results, out))
    ]
    return write_html(__package__, out, {"title": TITLE, "drawings": drawings, **facts(results, out)})


def facts(results: Results, folder: Path) -> dict[str, Any]:
    """What the page and report.html say."""
    return {
        **shared(results),
        "row": results.rows[0],
        "splits": SPLITS,
        "papers": PAPERS,
        "not_run": [arm for arm in ARMS if arm not in results.arms()],
        "arms_there": [ARMS[arm] for arm in results.arms()],
        "measured": [
            (MEASURES[f"{column}_new"].title.partition(",")[0], MEASURES[f"{column}_new"].about) for column in COLUMNS
        ],
        "by_task": [_of_task(results, task, folder) for task in results.tasks],
        "seconds": sum(float(row["seconds"]) for row in results.rows),
    }


def _of_task(results: Results, task: str, folder: Path) -> dict[str, Any]:
    rated = {split: ratings(results, task, split) for split in SPLITS}
    return {
        "name": task,
        "claims": claims(results, task),
        "ratings": rated,
        "tables": {split: _table(results, task, split) for split in SPLITS},
        "columns": [MEASURES[f"{column}_new"].title.partition(",")[0] for column in TABLE],
        "questions": _questions(results, task, folder / EXAMPLES),
        "accuracy": {
            split: interval(found) for split in SPLITS if (found := results.values(task, START, f"accuracy_{split}"))
        },
    }


def scores(results: Results, task: str, split: str) -> dict[str, list[list[float]]]:
    """By arm, for each seed that all arms have, the likeness of each question's answer."""
    by_arm = {arm: {row["seed"]: row for row in results.of(task, arm)} for arm in results.arms(task)}
    seeds = sorted(set.intersection(*(set(rows) for rows in by_arm.values()))) if by_arm else []
    return {arm: [json.loads(rows[seed]["cosines"])[split] for seed in seeds] for arm, rows in by_arm.items()}


def ratings(results: Results, task: str, split: str) -> list[Rating]:
    """The arms by preference, the best first; none with fewer than two arms or without a common seed."""
    found = scores(results, task, split)
    if len(found) < 2 or not all(found.values()):
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


PAIRS = (
    (PAPERS, START, "cosine", "its explanations are better than those of SFT only"),
    (PAPERS, "sft-longer", "cosine", "... and than those of SFT for as long"),
    (PAPERS, "plain", "accuracy", "it answers more questions rightly than correctness and format alone"),
    (PAPERS, "mixed", "cosine", "ROUGE beside the cosine dilutes it (summed)"),
    ("mixed-gdpo", "mixed", "cosine", "ours: with each term normalised, the mixture is better than summed"),
)
"""Of each claim: an arm, the one that it is compared with, the measure, and what is said of the first."""


@functools.cache
def _elo(scored: str) -> tuple[dict[str, Interval], dict[tuple[str, str], Interval]]:
    """Made once of the same scores, as pages and figures ask for them again."""
    return elo(json.loads(scored))


def claims(results: Results, task: str) -> list[Claim]:
    """Each claim on each split, by rule; a claim whose arms have no runs is left out."""
    found: list[Claim] = []
    for split, where in SPLITS.items():
        rated = ratings(results, task, split)
        if len(rated) > 2 and any(one.arm == PAPERS for one in rated):
            found.append(_best(rated, where, results.seeds))
        compared = [_compared(results, task, split, *pair) for pair in PAIRS]
        found += [claim for claim in compared if claim is not None]
    return found


def _best(rated: Sequence[Rating], where: str, seeds: int) -> Claim:
    place, papers = next((place, one) for place, one in enumerate(rated, start=1) if one.arm == PAPERS)
    ahead = len(papers.ahead) == len(rated) - 1
    said: Verdict = "supported" if ahead else "not supported" if papers.behind else "undecided"
    at = papers.rating
    text = f"rating {at.mean:.0f} ({at.low:.0f} to {at.high:.0f}), place {place} of {len(rated)}"
    rule = "its rating is above (below) another arm's where the 95 % interval of the difference leaves out 0"
    name = "the paper's reward is preferred to all others"
    return Claim(name, rule, where, text, said if seeds >= LEAST_SEEDS else "undecided")


def _compared(results: Results, task: str, split: str, arm: str, other: str, column: str, said: str) -> Claim | None:
    found = compare(results, task, arm, f"{column}_{split}", other)
    if found is None:
        return None
    rule = f"{arm} less {other}, {found.measure.title.partition(',')[0]}"
    return Claim(said, rule, SPLITS[split], f"{found.text}, p {found.p:.3f}", found.verdict)


def _table(results: Results, task: str, split: str) -> list[list[str]]:
    columns = [f"{column}_{split}" for column in TABLE]
    return [[f"`{arm}`", *cells(results, task, arm, columns)] for arm in results.arms(task)]


def _questions(results: Results, task: str, path: Path) -> list[dict[str, Any]]:
    """The first questions of each split with every arm's answer of the first seed."""
    if not path.is_file():
        return []
    rows = [row for _, row in read_rows(path) if row["task"] == task and row["arm"] in ARMS]
    seed = min((row["seed"] for row in rows), default=0)
    rows = [row for row in rows if row["seed"] == seed]
    found = []
    for split in SPLITS:
        asked = list(dict.fromkeys(row["prompt"] for row in rows if row["split"] == split))
        for prompt in asked[3 : 3 + MOST]:
            answers = {row["arm"]: row for row in rows if row["split"] == split and row["prompt"] == prompt}
            found.append({"split": SPLITS[split], **_question(prompt, answers)})
    return found


def _question(prompt: str, answers: Mapping[str, Row]) -> dict[str, Any]:
    any_row = next(iter(answers.values()))
    listed = [(arm, escaped(answers[arm]["response"]), answers[arm]["cosine"]) for arm in ARMS if arm in answers]
    return {
        "question": escaped(prompt.partition("\n")[0]),
        "reference": escaped(any_row["reference"]),
        "key": any_row["key"],
        "answers": listed,
    }


def _figures(results: Results, out: Path) -> list[tuple[str, Any]]:
    found = []
    for task in results.tasks:
        found.append(
            (f"{task}: preference (Bradley-Terry on the Elo scale) with 95 % intervals", _ratings_figure(results, task))
        )
        found.append(
            (
                f"{task}: likeness to the experts' explanations under an encoder that no reward had, and right letters",
                _means_figure(results, task),
            )
        )
    curves = _curves(results, out / CURVES)
    return [
        *found,
        *(
            [("What each reward paid during training, mean over seeds (rewards differ: compare shapes)", curves)]
            if curves
            else []
        ),
    ]


def _laid_out(figure: Any, height: int) -> Any:
    figure.update_layout(
        height=height,
        margin={"l": 90, "r": 10, "t": 40, "b": 36},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 11, "color": _INK},
        showlegend=False,
    )
    figure.update_xaxes(gridcolor="rgba(138,143,152,0.18)", zeroline=False)
    figure.update_yaxes(gridcolor="rgba(138,143,152,0.18)", zeroline=False)
    return figure


def _dots(figure: Any, labels: Sequence[str], spreads: Sequence[Interval], colour: str, column: int) -> None:
    figure.add_scatter(
        x=[one.mean for one in spreads],
        y=list(labels),
        mode="markers",
        marker={"color": colour, "size": 9},
        error_x={
            "array": [one.high - one.mean for one in spreads],
            "arrayminus": [one.mean - one.low for one in spreads],
            "color": colour,
        },
        row=1,
        col=column,
    )


def _ratings_figure(results: Results, task: str) -> Any:
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=len(SPLITS), subplot_titles=list(SPLITS.values()), horizontal_spacing=0.16)
    for column, split in enumerate(SPLITS, start=1):
        rated = list(reversed(ratings(results, task, split)))
        _dots(figure, [one.arm for one in rated], [one.rating for one in rated], COLOURS[column - 1], column)
    return _laid_out(figure, 110 + 22 * len(ARMS))


def _means_figure(results: Results, task: str) -> Any:
    from plotly.subplots import make_subplots

    wanted = [(column, split) for split in SPLITS for column in ("cosine", "accuracy")]
    titles = [MEASURES[f"{column}_{split}"].title for column, split in wanted]
    figure = make_subplots(rows=1, cols=len(wanted), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04)
    arms = list(reversed(results.arms(task)))
    for number, (column, split) in enumerate(wanted, start=1):
        spreads = [interval(results.values(task, arm, f"{column}_{split}")) for arm in arms]
        _dots(figure, arms, spreads, COLOURS[(number - 1) // 2], number)
    return _laid_out(figure, 110 + 22 * len(ARMS))


def _curves(results: Results, path: Path) -> Any:
    from plotly.subplots import make_subplots

    if not path.is_file():
        return None
    rows = [row for _, row in read_rows(path) if row["metric"] == "train/reward"]
    arms = [arm for arm in results.arms() if any(row["arm"] == arm for row in rows)]
    if not arms:
        return None
    width = 5
    figure = make_subplots(rows=-(-len(arms) // width), cols=width, subplot_titles=arms, vertical_spacing=0.16)
    for number, arm in enumerate(arms):
        by_step: dict[int, list[float]] = {}
        for row in rows:
            if row["arm"] == arm and row["task"] == results.tasks[0]:
                by_step.setdefault(row["step"], []).append(row["value"])
        steps = sorted(by_step)
        means = [sum(by_step[step]) / len(by_step[step]) for step in steps]
        where = {"row": number // width + 1, "col": number % width + 1}
        figure.add_scatter(x=steps, y=means, mode="lines", line={"color": COLOURS[0], "width": 2}, **where)
    return _laid_out(figure, 130 * -(-len(arms) // width) + 60)
