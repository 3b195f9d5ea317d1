"""results.parquet and curves.parquet -> report.html: a figure a claim, what is behind, answers before and after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce.files import CURVES
from pgsrm_lab.reproduce.semantic.judging import MEASURES, SPLITS
from pgsrm_lab.reproduce.semantic.sheet import facts
from pgsrm_lab.reproduce.semantic.verdicts import BEST, PAIRS, Pair, Part, claims, parts, ratings
from pgsrm_lab.reproduce.summary import Results
from pgsrm_lab.reproduce.writing import write_html
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.report.figures import COLOURS
from pgsrm_plugin.report.stats import Interval, interval
from pgsrm_plugin.report.templates import drawn

TITLE = "Semantic GRPO, put to the test"
ACROSS = 4
"""Panels of a figure side by side."""
_INK = "#8a8f98"
_GRID = "rgba(138,143,152,0.18)"


def write_report(results: Results, out: Path) -> Path:
    """Writes report.html into the results' folder."""
    found = parts(results)
    figures = [*_of_claims(found), *_behind(found, out / CURVES)]
    drawings = [(about, drawn(figure, f"figure-{number}")) for number, (about, figure) in enumerate(figures)]
    return write_html(__package__, out, {"title": TITLE, "drawings": drawings, **facts(results, out)})


def _of_claims(found: Sequence[Part]) -> list[tuple[str, Any]]:
    """The figure of each claim that the runs say something of."""
    rated = [
        (f"{part.name},<br>{SPLITS[split]}", split, rating)
        for part in found
        for split in SPLITS
        if (rating := ratings(part, split))
    ]
    figures = []
    if rated:
        grid = _panels([title for title, _, _ in rated], 90 + 22 * max(len(rating) for *_, rating in rated), across=2)
        for number, (_, split, rating) in enumerate(rated):
            arms = [one.arm for one in reversed(rating)]
            _dots(grid, arms, [one.rating for one in reversed(rating)], _colour(split), _place(number, 2))
        about = "the arms' ratings (Bradley-Terry on the Elo scale) with 95 % intervals"
        figures.append((f"Claim: {BEST}. {about}", laid_out(grid)))
    for pair in PAIRS:
        compared = [(part, split) for part in found for split in SPLITS if _gaps(part, split, pair)]
        if compared:
            figures.append((_caption(pair), _of_pair(pair, compared)))
    return figures


def _caption(pair: Pair) -> str:
    measure = MEASURES[f"{pair.column}_new"].title.partition(",")[0]
    return f"Claim: {pair.said}. {measure} of {pair.other} and of {pair.arm}, a line a seed"


def _of_pair(pair: Pair, compared: Sequence[tuple[Part, str]]) -> Any:
    """A panel a child, set and split: each seed's line goes from the one arm to the other."""
    grid = _panels([_verdict(part, split, pair) for part, split in compared], 190, across=ACROSS)
    for number, (part, split) in enumerate(compared):
        for values in _gaps(part, split, pair):
            line = {"color": _colour(split), "width": 1.5}
            grid.add_scatter(
                x=[pair.other, pair.arm], y=values, mode="lines+markers", line=line, **_place(number, ACROSS)
            )
    grid.update_xaxes(range=[-0.3, 1.3])
    return laid_out(grid)


def _verdict(part: Part, split: str, pair: Pair) -> str:
    said = next(one.verdict for one in claims(part) if (one.said, one.split) == (pair.said, SPLITS[split]))
    return f"{part.name},<br>{SPLITS[split]}: {said}"


def _gaps(part: Part, split: str, pair: Pair) -> list[list[float]]:
    """The measure of both arms, the second first, for each seed that both have."""
    column = f"{pair.column}_{split}"
    sides = [{row["seed"]: row[column] for row in part.results.of(part.task, arm)} for arm in (pair.other, pair.arm)]
    return [[sides[0][seed], sides[1][seed]] for seed in sides[0] if seed in sides[1]]


def _behind(found: Sequence[Part], curves: Path) -> list[tuple[str, Any]]:
    """Means of all arms, and what each reward paid during training."""
    figures = []
    for part in found:
        about = "likeness to the experts' explanations under an encoder that no reward had, and right letters"
        figures.append((f"{part.name}: {about}", _means(part)))
    rows = [row for _, row in read_rows(curves) if row["metric"] == "train/reward"] if curves.is_file() else []
    for part in found:
        if drawing := _paid(part, rows):
            about = "what each reward paid during training, mean over seeds (rewards differ: compare shapes)"
            figures.append((f"{part.name}: {about}", drawing))
    return figures


def _means(part: Part) -> Any:
    wanted = [(column, split) for split in SPLITS for column in ("cosine", "accuracy")]
    arms = list(reversed(part.results.arms(part.task)))
    titles = [MEASURES[f"{column}_{split}"].title for column, split in wanted]
    grid = _panels(titles, 80 + 22 * len(arms), across=ACROSS, shared_yaxes=True)
    for number, (column, split) in enumerate(wanted):
        spreads = [interval(part.results.values(part.task, arm, f"{column}_{split}")) for arm in arms]
        _dots(grid, arms, spreads, _colour(split), _place(number, ACROSS))
    return laid_out(grid)


def _paid(part: Part, rows: Iterable[Any]) -> Any:
    own = {row["digest"] for row in part.results.rows}
    by_arm: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["digest"] in own:
            by_arm[row["arm"]][row["step"]].append(row["value"])
    if not by_arm:
        return None
    grid = _panels(list(by_arm), 130, across=ACROSS + 1)
    for number, by_step in enumerate(by_arm.values()):
        means = [sum(values) / len(values) for values in by_step.values()]
        line = {"color": COLOURS[0], "width": 2}
        grid.add_scatter(x=list(by_step), y=means, mode="lines", line=line, **_place(number, ACROSS + 1))
    return laid_out(grid)


def _panels(titles: Sequence[str], height: int, across: int, **options: Any) -> Any:
    """Panels of a height with their titles, so many side by side."""
    from plotly.subplots import make_subplots

    rows = -(-len(titles) // across)
    space = {"vertical_spacing": 76 / (height * rows), "horizontal_spacing": 0.16 if across == 2 else 0.06}
    grid = make_subplots(rows=rows, cols=min(across, len(titles)), subplot_titles=titles, **space, **options)
    return grid.update_layout(height=height * rows + 60)


def _place(number: int, across: int) -> dict[str, int]:
    return {"row": number // across + 1, "col": number % across + 1}


def _colour(split: str) -> str:
    return COLOURS[list(SPLITS).index(split)]


def _dots(grid: Any, labels: Sequence[str], spreads: Sequence[Interval], colour: str, place: dict[str, int]) -> None:
    error = {
        "array": [one.high - one.mean for one in spreads],
        "arrayminus": [one.mean - one.low for one in spreads],
        "color": colour,
    }
    marker = {"color": colour, "size": 9}
    at = [one.mean for one in spreads]
    grid.add_scatter(x=at, y=list(labels), mode="markers", marker=marker, error_x=error, **place)


def laid_out(grid: Any, left: int = 90, top: int = 50) -> Any:
    """A figure in the colours of the pages, with room on the left for names and above for titles, in pixels."""
    grid.update_layout(
        margin={"l": left, "r": 10, "t": top, "b": 36},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 11, "color": _INK},
        showlegend=False,
    )
    grid.update_annotations(font={"size": 12})
    grid.update_xaxes(gridcolor=_GRID, zeroline=False)
    grid.update_yaxes(gridcolor=_GRID, zeroline=False)
    return grid
