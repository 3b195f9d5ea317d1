"""The shares over training as a figure, and report.html around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pgsrm_lab.reproduce.guards.page import facts
from pgsrm_lab.reproduce.guards.shares import CLASSES, curve_of
from pgsrm_lab.reproduce.summary import Results
from pgsrm_lab.reproduce.writing import write_html
from pgsrm_plugin.report.figures import COLOURS, coloured, draw
from pgsrm_plugin.report.stats import Band, interval
from pgsrm_plugin.report.templates import drawn

TITLE = "Guards, put to the test"
_INK = "#8a8f98"


def write_report(results: Results, out: Path) -> Path:
    """Writes report.html into the results' folder."""
    drawing = drawn(figure(results), "shares")
    page = {"title": TITLE, "drawing": drawing, "labels": coloured(results.arms()), **facts(results, out)}
    return write_html(__package__, out, page)


def figure(results: Results, classes: Sequence[str] = CLASSES) -> Any:
    """A plotly figure: a row a class of answers, a column a task, a curve an arm with its 95 % interval over seeds."""
    from plotly.subplots import make_subplots

    titles = [f"{task}: {name}" for name in classes for task in results.tasks]
    grid = make_subplots(
        rows=len(classes),
        cols=len(results.tasks),
        subplot_titles=titles,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.09,
    )
    for row, name in enumerate(classes, start=1):
        for column, task in enumerate(results.tasks, start=1):
            for colour, arm in zip(COLOURS, results.arms(), strict=False):
                if results.of(task, arm):
                    where = {"row": row, "col": column, "showlegend": False}
                    draw(grid, arm, colour, band_of(results, task, arm, name), **where)
    for colour, arm in zip(COLOURS, results.arms(), strict=False):
        grid.add_scatter(x=[None], y=[None], mode="lines", name=arm, line={"color": colour, "width": 3})
    grid.update_layout(
        height=90 + 230 * len(classes),
        margin={"l": 50, "r": 10, "t": 60, "b": 36},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 11, "color": _INK},
        legend={"orientation": "h", "y": 1, "yref": "container", "yanchor": "top", "traceorder": "normal"},
    )
    grid.update_annotations(font={"size": 12})
    grid.update_xaxes(gridcolor="rgba(138,143,152,0.18)", zeroline=False)
    grid.update_xaxes(title={"text": "step", "standoff": 4}, row=len(classes))
    grid.update_yaxes(gridcolor="rgba(138,143,152,0.18)", zeroline=False, tickformat=".0%", range=[-0.02, 1.02])
    return grid


def band_of(results: Results, task: str, arm: str, name: str) -> Band:
    """A class's share at each step: mean over seeds with its 95 % interval."""
    curves = [curve_of(row, name) for row in results.of(task, arm)]
    points = [interval(values) for values in zip(*(values for _, values in curves), strict=True)]
    steps = np.array(curves[0][0])
    mean, low, high = (np.array([getattr(point, side) for point in points]) for side in ("mean", "low", "high"))
    return Band(steps, mean, low, high)
