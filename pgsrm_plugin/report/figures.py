"""Learning curves as plotly fragments (divs without the library, which the page carries once)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pgsrm_plugin.report.run import Run
from pgsrm_plugin.report.stats import Band, band
from pgsrm_plugin.report.templates import drawn

COLOURS = ("#3b78d8", "#d97b29", "#2f9e77", "#a05cc9", "#c2455f", "#7a7f87")
"""One a label, in order; readable on white and on near-black, distinguishable with colour-blind eyes."""
_GREY = "#8a8f98"


@dataclass(frozen=True)
class Panel:
    """A metric and how the page names it.

    Attributes:
        metric: its column in metrics.csv.
        title: a noun phrase that reads well inside a sentence ("accuracy on training prompts").
        note: what to know when reading it.
        percent: it is a share; shown as per cent.
    """

    metric: str
    title: str
    note: str = ""
    percent: bool = False


def curve(panel: Panel, groups: Mapping[str, Sequence[Run]], div_id: str) -> Markup | None:
    """The panel's mean over seeds with a min-to-max band, one curve a label that logged it; None if none did."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for colour, (label, runs) in zip(COLOURS * len(groups), groups.items(), strict=False):
        if all(panel.metric not in run.series for run in runs):
            continue
        draw(figure, label, colour, band(runs, panel.metric))
    if not figure.data:
        return None
    figure.update_layout(
        height=230,
        margin={"l": 44, "r": 10, "t": 8, "b": 32},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 11, "color": _GREY},
        showlegend=False,
        hovermode="x unified",
        hoverlabel={"bgcolor": "#22262c", "font": {"color": "#f2f3f5"}},
    )
    axis: dict[str, Any] = {"gridcolor": "rgba(138,143,152,0.18)", "zeroline": False, "ticks": "", "automargin": True}
    figure.update_xaxes(**axis, title={"text": "step", "standoff": 4})
    shown = {"tickformat": ".0%", "rangemode": "nonnegative"} if panel.percent else {"tickformat": ".3~g"}
    figure.update_yaxes(**axis, **shown)
    return drawn(figure, div_id)


def draw(figure: Any, label: str, colour: str, curve: Band, **where: Any) -> None:
    """Adds a mean with its band to a plotly figure; ``where`` goes to each of its traces (``row``, ``col`` ...)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    steps, invisible = curve.steps.tolist(), {"width": 0}
    shared = {"x": steps, "mode": "lines", "hoverinfo": "skip", **where}
    figure.add_scatter(y=curve.low.tolist(), line=invisible, **shared)
    figure.add_scatter(
        y=curve.high.tolist(), line=invisible, fill="tonexty", fillcolor=f"rgba({red},{green},{blue},0.16)", **shared
    )
    line = {"color": colour, "width": 2}
    figure.add_scatter(x=steps, y=curve.mean.tolist(), mode="lines", name=label, line=line, **where)


def coloured(labels: Iterable[str]) -> list[tuple[str, str]]:
    """Labels with the colours of their curves."""
    return [(label, COLOURS[number % len(COLOURS)]) for number, label in enumerate(labels)]


def curves(panels: Sequence[Panel], groups: Mapping[str, Sequence[Run]], name: str) -> list[tuple[str, Markup, str]]:
    """Title, drawing and note of each panel that has a curve; ``name`` begins the drawings' ids."""
    found = [(panel, curve(panel, groups, f"{name}-{number}")) for number, panel in enumerate(panels)]
    return [(panel.title, drawing, panel.note) for panel, drawing in found if drawing is not None]
