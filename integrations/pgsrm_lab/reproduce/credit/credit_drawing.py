"""A figure a question, and report.html around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pgsrm_lab.reproduce.credit.credit_page import facts, parts_of, passage_results
from pgsrm_lab.reproduce.credit.faults import shares_over
from pgsrm_lab.reproduce.credit.passage_arms import PLAIN
from pgsrm_lab.reproduce.semantic.claim_figures import laid_out
from pgsrm_lab.reproduce.semantic.judging import MEASURES, SPLITS
from pgsrm_lab.reproduce.semantic.verdicts import Part
from pgsrm_lab.reproduce.summary import Results
from pgsrm_lab.reproduce.writing import write_html
from pgsrm_plugin.report.figures import COLOURS, draw
from pgsrm_plugin.report.stats import Band, interval
from pgsrm_plugin.report.templates import drawn

TITLE = "Credit and likelihood, put to the test"
CREDITS_ACROSS, MEASURES_ACROSS = 3, 4
"""Panels side by side; those of a row share their axis."""
_INK = "#8a8f98"


def write_report(results: Results, out: Path) -> Path:
    """Writes report.html into the results' folder."""
    figures: list[tuple[str, Any]] = []
    if passage_results(results).rows:
        about = "Credit: the share of faultless explanations over training, each credit (colour) beside plain (grey)"
        figures.append((about, of_credits(passage_results(results))))
    for part in parts_of(results):
        about = f"Likelihood, {part.child.rpartition('/')[2]}: right letters and likeness after training"
        figures.append((about, of_rewards(part)))
    drawings = [
        (f"{about}; mean over seeds with its 95 % interval", drawn(figure, f"figure-{number}"))
        for number, (about, figure) in enumerate(figures)
    ]
    return write_html(__package__, out, {"title": TITLE, "drawings": drawings, **facts(results)})


def of_credits(results: Results) -> Any:
    """A panel a credit: its share of faultless explanations over the steps, and plain's."""
    arms = [arm for arm in results.arms() if arm != PLAIN]
    grid = _panels(arms, 210, CREDITS_ACROSS)
    for number, arm in enumerate(arms):
        place = {"row": number // CREDITS_ACROSS + 1, "col": number % CREDITS_ACROSS + 1, "showlegend": False}
        if PLAIN in results.arms():
            draw(grid, PLAIN, _INK, _band(results, PLAIN), **place)
        draw(grid, arm, COLOURS[0], _band(results, arm), **place)
    grid.update_yaxes(tickformat=".0%")
    return grid


def of_rewards(part: Part) -> Any:
    """A panel a measure and split, a point an arm with its interval over seeds."""
    wanted = [f"{column}_{split}" for split in SPLITS for column in ("accuracy", "cosine")]
    arms = list(reversed(part.results.arms()))
    grid = _panels([MEASURES[column].title for column in wanted], 80 + 26 * len(arms), MEASURES_ACROSS, left=150)
    for number, column in enumerate(wanted):
        found = [interval(part.results.values(part.task, arm, column)) for arm in arms]
        error = {"array": [one.high - one.mean for one in found], "arrayminus": [one.mean - one.low for one in found]}
        place = {"row": 1, "col": number + 1, "showlegend": False}
        marker = {"color": COLOURS[number // 2], "size": 9}
        at = [one.mean for one in found]
        grid.add_scatter(x=at, y=arms, mode="markers", marker=marker, error_x=error, **place)
    return grid


def _band(results: Results, arm: str) -> Band:
    (task,) = results.tasks
    curves = [shares_over(row, "faultless") for row in results.of(task, arm)]
    points = [interval(values) for values in zip(*(values for _, values in curves), strict=True)]
    mean, low, high = (np.array([getattr(point, side) for point in points]) for side in ("mean", "low", "high"))
    return Band(np.array(curves[0][0]), mean, low, high)


def _panels(titles: list[str], height: int, across: int, left: int = 50) -> Any:
    """Panels of a height, so many side by side, with room on the left for names."""
    from plotly.subplots import make_subplots

    rows = -(-len(titles) // across)
    grid = make_subplots(
        rows=rows,
        cols=min(across, len(titles)),
        subplot_titles=titles,
        shared_yaxes=True,
        vertical_spacing=60 / (height * rows),
        horizontal_spacing=0.04,
    )
    grid.update_layout(height=height * rows + 70)
    return laid_out(grid, left, top=40)
