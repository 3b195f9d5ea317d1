"""results.parquet and curves.parquet -> report.html: a figure a claim, and the curves behind it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from pgsrm_lab.reproduce import words
from pgsrm_lab.reproduce.arms import of_role
from pgsrm_lab.reproduce.files import CURVES
from pgsrm_lab.reproduce.measure import MEASURES
from pgsrm_lab.reproduce.summary import BASELINE, CLAIMS, Comparison, Results, compare
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.report import Panel, Run, RunInfo, html
from pgsrm_plugin.report.figures import COLOURS, curve
from pgsrm_plugin.report.page import document, write_whole
from pgsrm_plugin.report.run import Series

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


def write_html(out: Path) -> Path:
    """Writes report.html into the results' folder."""
    results = Results.read(out)
    runs = _runs(out / CURVES)
    parts = [f"<h1>{TITLE}</h1>", _text(words.intro(results)), _text(words.rule(results))]
    for number, claim in enumerate(CLAIMS):
        parts += [
            f"<h2>{escape(claim[0].upper() + claim[1:])}</h2>",
            _forest(results, claim, f"claim-{number}"),
            _verdicts(results, claim),
        ]
        for task in results.tasks:
            figures = _curves(runs, results, task, claim, f"curves-{number}-{task}")
            parts.append(f"<details><summary>{escape(task)}: curves</summary>{figures}</details>")
    parts += ["<h2>Which reward</h2>", _text(words.advice(results)), "<h2>How it was run</h2>"]
    parts.append(_text(words.method(results.rows[0])))
    return write_whole(out / "report.html", document(TITLE, "\n".join(parts)))


def _forest(results: Results, claim: str, name: str) -> str:
    """The differences to the baseline with their intervals, in units of the baseline's mean: one panel a measure."""
    figures = []
    for number, column in enumerate(CLAIMS[claim]):
        drawn = _forest_panel(results, column, f"{name}-{number}")
        if drawn:
            measure = MEASURES[column]
            side = "right" if measure.better == "higher" else "left"
            note = f"In per cent of {BASELINE}'s mean; claimed to lie to the {side} of 0. Measured as {measure.about}."
            figures.append(
                f"<figure><h3>{escape(measure.title)}, less {BASELINE}'s</h3>{drawn}"
                f"<figcaption>{escape(note)}</figcaption></figure>"
            )
    return f'<div class="panels">{"".join(figures)}</div>'


def _forest_panel(results: Results, column: str, name: str) -> str:
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
        return ""
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
    config = {"displayModeBar": False, "responsive": True}
    drawn: str = figure.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=name)
    return drawn


def _scale(results: Results, task: str, column: str) -> float:
    values = results.values(task, BASELINE, column)
    return abs(sum(values) / len(values)) or 1.0


def _verdicts(results: Results, claim: str) -> str:
    rows = []
    for column in CLAIMS[claim]:
        for arm in of_role("claim"):
            found = [compare(results, task, arm, column) for task in results.tasks]
            if any(found):
                rows.append(html.row(f"{arm}: {MEASURES[column].title}", [_cell(one) for one in found]))
    return html.table(["", *results.tasks], rows)


def _cell(found: Comparison | None) -> str:
    if found is None:
        return ""
    return f"{found.verdict}<small>{escape(words.gap(found))}, p {found.p:.3f}</small>"


def _curves(runs: Mapping[str, Sequence[Run]], results: Results, task: str, claim: str, name: str) -> str:
    groups = {arm: runs[f"{task}/{arm}"] for arm in results.arms(task)[:CURVE_ARMS]}
    legend = "".join(
        f'<span><i class="dot" style="background:{colour}"></i>{escape(arm)}</span>'
        for colour, arm in zip(COLOURS, groups, strict=False)
    )
    figures = []
    for number, panel in enumerate(PANELS[claim]):
        drawn = curve(panel, groups, f"{name}-{number}")
        caption = f"<figcaption>{escape(panel.note)}</figcaption>" if panel.note else ""
        figures += [f"<figure><h3>{escape(panel.title)}</h3>{drawn}{caption}</figure>"] if drawn else []
    how = "Line: mean over seeds. Band: least to greatest of them."
    return (
        f'<div class="legend">{legend}<span class="note">{how}</span></div><div class="panels">{"".join(figures)}</div>'
    )


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


def _text(markdown: str) -> str:
    """A paragraph; the few marks of Markdown that it has are dropped."""
    plain = markdown.replace("`", "").replace("**", "").replace("*", "")
    plain = plain.replace(" How to run it yourself: [the guide](../guides/reproduce.md).", "")
    return "".join(f"<p>{escape(part)}</p>" for part in plain.split("\n\n"))
