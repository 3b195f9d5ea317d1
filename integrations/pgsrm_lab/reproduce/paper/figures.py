"""results.parquet and curves.parquet -> report.html: a figure a claim, and the curves behind it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pgsrm_lab.reproduce.files import CURVES
from pgsrm_lab.reproduce.measure import WARM_UP, Measure
from pgsrm_lab.reproduce.paper.arms import of_role
from pgsrm_lab.reproduce.paper.findings import CLAIMS, advice
from pgsrm_lab.reproduce.paper.measures import MEASURES
from pgsrm_lab.reproduce.summary import Comparison, Results, compare, shared
from pgsrm_lab.reproduce.writing import write_html
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.report import Panel, Run, RunInfo
from pgsrm_plugin.report.figures import COLOURS, coloured, curves
from pgsrm_plugin.report.run import Series
from pgsrm_plugin.report.templates import drawn

TITLE = "PGSRM, reproduced"
PANELS = {
    "smoother reward": (
        Panel("train/reward", "batch reward", "Different rewards: compare the shapes, not the heights."),
    ),
    "steadier PPO": (
        Panel("train/kl", "KL from the warm start"),
        Panel("train/entropy", "entropy"),
        Panel("train/value_loss", "value loss", "Its scale follows the squared reward's."),
    ),
    "better sample efficiency": (
        Panel("val/train/chance", "accuracy on training prompts", percent=True),
        Panel("val/held_out/chance", "accuracy on held-out prompts", percent=True),
    ),
}
CURVE_ARMS = 6
"""Curves in one panel, at most: there are as many colours."""


def write_report(results: Results, out: Path) -> Path:
    """Writes report.html into the results' folder."""
    runs = _runs(out / CURVES)
    claims = [
        {
            "title": claim[0].upper() + claim[1:],
            "forest": _forest(results, claim, f"claim-{number}"),
            "verdicts": _verdicts(results, claim),
            "curves": [_curves(runs, results, task, claim, f"curves-{number}-{task}") for task in results.tasks],
        }
        for number, claim in enumerate(CLAIMS)
    ]
    facts = {"title": TITLE, "warm_up": WARM_UP, **shared(results), "advice": advice(results), "claims": claims}
    return write_html(__package__, out, facts)


def _forest(results: Results, claim: str, name: str) -> list[tuple[Measure, Markup]]:
    """The differences to the baseline with their intervals, in units of the baseline's mean: one panel a measure."""
    found = [
        (MEASURES[column], _forest_panel(results, column, f"{name}-{number}"))
        for number, column in enumerate(CLAIMS[claim])
    ]
    return [(measure, drawing) for measure, drawing in found if drawing is not None]


def _forest_panel(results: Results, column: str, name: str) -> Markup | None:
    import plotly.graph_objects as go

    figure = go.Figure()
    for colour, arm in zip(COLOURS, of_role("claim"), strict=False):
        found = [one for task in results.tasks if (one := compare(results, task, arm, column))]
        if not found:
            continue
        scales = [_scale(results, one.task, column) for one in found]
        gaps = [one.gap for one in found]
        figure.add_scatter(
            x=[gap.mean / scale for gap, scale in zip(gaps, scales, strict=True)],
            y=[one.task for one in found],
            error_x={
                "array": [(gap.high - gap.mean) / scale for gap, scale in zip(gaps, scales, strict=True)],
                "arrayminus": [(gap.mean - gap.low) / scale for gap, scale in zip(gaps, scales, strict=True)],
            },
            mode="markers",
            orientation="h",
            name=arm,
            marker={"color": colour, "size": 9},
        )
    if not figure.data:
        return None
    figure.update_layout(
        height=126 + 42 * len(results.tasks),
        margin={"l": 80, "r": 10, "t": 44, "b": 36},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 11, "color": "#8a8f98"},
        scattermode="group",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )
    figure.update_xaxes(
        tickformat="+.0%", rangemode="tozero", gridcolor="rgba(138,143,152,0.18)", zerolinecolor="#8a8f98"
    )
    figure.update_yaxes(autorange="reversed")
    return drawn(figure, name)


def _scale(results: Results, task: str, column: str) -> float:
    values = results.values(task, results.study.baseline, column)
    return abs(sum(values) / len(values)) or 1.0


def _verdicts(results: Results, claim: str) -> list[tuple[str, list[tuple[str, str]]]]:
    rows = []
    for column in CLAIMS[claim]:
        for arm in of_role("claim"):
            found = [compare(results, task, arm, column) for task in results.tasks]
            if any(found):
                rows.append((f"{arm}: {MEASURES[column].title}", [_cell(one) for one in found]))
    return rows


def _cell(found: Comparison | None) -> tuple[str, str]:
    return (found.verdict, f"{found.text}, p {found.p:.3f}") if found else ("", "")


def _curves(
    runs: Mapping[str, Sequence[Run]], results: Results, task: str, claim: str, name: str
) -> tuple[str, list[tuple[str, str]], list[tuple[str, Markup, str]]]:
    groups = {arm: runs[f"{task}/{arm}"] for arm in results.arms(task)[:CURVE_ARMS]}
    return task, coloured(groups), curves(PANELS[claim], groups, name)


def _runs(path: Path) -> Mapping[str, Sequence[Run]]:
    """The PPO runs' curves, by task and arm."""
    points: dict[tuple[str, str, int], dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for _, row in read_rows(path):
        if row["update"] == "ppo":
            points[row["task"], row["arm"], row["seed"]][row["metric"]].append((row["step"], row["value"]))
    groups: dict[str, list[Run]] = defaultdict(list)
    for (task, arm, seed), series in sorted(points.items()):
        curves = {metric: Series(*map(tuple, zip(*sorted(found), strict=True))) for metric, found in series.items()}
        groups[f"{task}/{arm}"].append(Run(_info(arm, seed), curves, (), f"{task}/{arm}/{seed}"))
    return groups


def _info(arm: str, seed: int) -> Any:
    return RunInfo(label=arm, seed=seed, episodes=1, spec="")
