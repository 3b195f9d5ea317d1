"""The result as one self-contained HTML page with bar charts."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from pgsrm_lab.bench.report.facts import facts
from pgsrm_lab.bench.report.rows import HEADINGS, cells, range_of_rounds, runs_of, system_title
from pgsrm_plugin.report.figures import COLOURS
from pgsrm_plugin.report.templates import drawn, environment

_INK = "#8a8f98"


def render(result: dict[str, Any]) -> str:
    """The page as text. It opens offline and asks nothing of the network."""
    return (
        environment(__package__)
        .get_template("bench.html.j2")
        .render(
            title=f"Encoder benchmark: {result['model'].rpartition('/')[2]}",
            result=result,
            head=["", *HEADINGS],
            runs=[
                {
                    "dtype": run["dtype"],
                    "device": run["device"],
                    "rounds": run["rounds"],
                    "facts": facts(run),
                    "drawing": _bar_chart(run, f"bars-{number}"),
                    "rows": [(system_title(name, run), cells(run, name)) for name in run["pairs_per_s"]],
                }
                for number, run in enumerate(runs_of(result))
            ],
        )
    )


def _bar_chart(run: dict[str, Any], div_id: str) -> Markup:
    import plotly.graph_objects as go

    names = list(run["pairs_per_s"])[::-1]
    values = [run["pairs_per_s"][name] for name in names]
    ranges = [range_of_rounds(run, name) for name in names]
    roofline = run["roofline"]["pairs_per_s"]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=[system_title(name, run) for name in names],
            orientation="h",
            marker={"color": [COLOURS[0] if name == "ours" else _INK for name in names]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - value for (_, high), value in zip(ranges, values, strict=True)],
                "arrayminus": [value - low for (low, _), value in zip(ranges, values, strict=True)],
                "thickness": 1,
                "width": 3,
                "color": _INK,
            },
            hovertemplate="%{y}: %{x:,.1f} pairs/s<extra></extra>",
        )
    )
    figure.add_vline(x=roofline, line={"dash": "dot", "width": 1.5, "color": COLOURS[1]})
    figure.add_annotation(
        x=roofline, y=1, yref="paper", yanchor="bottom", showarrow=False,
        text=f"GEMM roofline {roofline:,.0f}", font={"color": COLOURS[1]}, xanchor="right",
    )  # fmt: skip
    for name, value, (_, high) in zip(names, values, ranges, strict=True):
        figure.add_annotation(
            x=high, y=system_title(name, run), text=f"{value:,.0f}", showarrow=False, xanchor="left", xshift=6
        )
    figure.update_layout(
        height=90 + 42 * len(names),
        margin={"l": 10, "r": 40, "t": 28, "b": 32},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 12, "color": _INK},
        showlegend=False,
    )
    figure.update_xaxes(
        title={"text": "pairs/s", "standoff": 4}, rangemode="tozero", gridcolor="rgba(138,143,152,0.18)", zeroline=False
    )
    figure.update_yaxes(automargin=True, ticksuffix="  ")
    return drawn(figure, div_id)
