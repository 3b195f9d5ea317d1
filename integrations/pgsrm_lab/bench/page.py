"""The result as one self-contained HTML page with bars."""

from __future__ import annotations

from html import escape
from importlib import resources
from typing import Any

from pgsrm_lab.bench.table import HEADINGS, cells
from pgsrm_lab.bench.wording import bar_title, facts, runs_of, speed_fact, spread
from pgsrm_plugin.report import html
from pgsrm_plugin.report.figures import COLOURS, plotly_script

_INK = "#8a8f98"
_STYLE = "th::first-letter { text-transform: none; } .facts { margin-top: 1.2rem; }"
_NOTE = (
    "Pairs a second, median of {rounds} rounds in which every bar had its turn; the whiskers reach from the slowest "
    "round to the fastest. The dotted line is what the machine would reach if it did nothing but multiply the "
    "model's matrices."
)


def render(result: dict[str, Any]) -> str:
    """The page as text. It opens offline and asks nothing of the network."""
    style = resources.files("pgsrm_plugin.report").joinpath("page.css").read_text(encoding="utf-8")
    runs = runs_of(result)
    model = result["model"].rpartition("/")[2]
    body = "\n".join(
        [
            f"<h1>Encoder benchmark: {escape(model)}</h1>",
            *(f'<p class="lead">{escape(speed_fact(run))}</p>' for run in runs),
            *(_section(run, number) for number, run in enumerate(runs)),
            _provenance(result),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Encoder benchmark: {escape(model)}</title>\n<style>{style}\n{_STYLE}</style>\n"
        f"<script>{plotly_script()}</script>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _section(run: dict[str, Any], number: int) -> str:
    rows = [html.row(bar_title(name, run), [escape(cell) for cell in cells(run, name)]) for name in run["pairs_per_s"]]
    notes = "".join(f"<p>{escape(text)}</p>" for text in facts(run)[1:])
    caption = f"<figcaption>{escape(_NOTE.format(rounds=run['rounds']))}</figcaption>"
    return "\n".join(
        [
            f"<h2>{escape(run['dtype'])} on {escape(run['device'])}</h2>",
            f"<figure>{_bars(run, f'bars-{number}')}{caption}</figure>",
            html.table(["", *HEADINGS], rows),
            f'<div class="facts">{notes}</div>',
        ]
    )


def _bars(run: dict[str, Any], div_id: str) -> str:
    import plotly.graph_objects as go

    names = list(run["pairs_per_s"])[::-1]
    values = [run["pairs_per_s"][name] for name in names]
    ranges = [spread(run, name) for name in names]
    roofline = run["roofline"]["pairs_per_s"]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=[bar_title(name, run) for name in names],
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
            x=high, y=bar_title(name, run), text=f"{value:,.0f}", showarrow=False, xanchor="left", xshift=6
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
    config = {"displayModeBar": False, "responsive": True}
    page: str = figure.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=div_id)
    return page


def _provenance(result: dict[str, Any]) -> str:
    return (
        '<h2>Machine, versions, command</h2><div class="columns">'
        f"<div><h3>Machine</h3>{html.definitions(result['machine'].items())}</div>"
        f"<div><h3>Versions</h3>{html.definitions(result['versions'].items())}</div></div>"
        f'<pre>{escape(result["command"])}</pre><p class="note">{escape(result["date"])}</p>'
    )
