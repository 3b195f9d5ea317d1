"""An evaluation as one self-contained HTML page: a figure and the table. Needs plotly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from pgsrm_plugin.audit.people.evaluation import NOTES, Evaluation, cell
from pgsrm_plugin.audit.people.judgements import Judgements
from pgsrm_plugin.audit.people.measures import Measure
from pgsrm_plugin.report.figures import coloured
from pgsrm_plugin.report.templates import drawn, environment

_INK = "#8a8f98"


def render_evaluation(judgements: Judgements, evaluations: Sequence[Evaluation]) -> str:
    """The page as text; it opens offline and asks nothing of the network."""
    colours = coloured([one.name for one in evaluations])
    rows = [
        (measure.name, [(f"{measure.count:,}", ""), *(cell(one.measures[number]) for one in evaluations)])
        for number, measure in enumerate(evaluations[0].measures)
    ]
    template = environment(__package__).get_template("evaluation.html.j2")
    return template.render(
        title=f"Agreement with people: {judgements.source.rpartition('/')[2]}",
        lead=f"{len(judgements):,} {judgements.kind}.",
        note=NOTES[judgements.kind],
        labels=colours,
        figures=[("", _bars(evaluations, [colour for _, colour in colours]), "")],
        head=["", "n", *(one.name for one in evaluations)],
        rows=rows,
    )


def _bars(evaluations: Sequence[Evaluation], colours: Sequence[str]) -> Markup:
    import plotly.graph_objects as go

    figure = go.Figure()
    for one, colour in list(zip(evaluations, colours, strict=True))[::-1]:
        shown = list(one.measures)[::-1]
        figure.add_bar(
            x=[measure.value for measure in shown],
            y=[measure.name for measure in shown],
            name=one.name,
            orientation="h",
            marker={"color": colour},
            error_x=_whiskers(shown),
            hovertemplate="%{y}: %{x:.3f}<extra>" + one.name.replace("<", "&lt;") + "</extra>",
        )
    measures = evaluations[0].measures
    figure.add_vline(x=measures[0].chance, line={"dash": "dot", "width": 1.5, "color": _INK})
    figure.update_layout(
        height=80 + (14 + 16 * len(evaluations)) * len(measures),
        margin={"l": 10, "r": 20, "t": 8, "b": 32},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 12, "color": _INK},
        showlegend=False,
        barmode="group",
    )
    figure.update_xaxes(gridcolor="rgba(138,143,152,0.18)", zeroline=False)
    figure.update_yaxes(automargin=True, ticksuffix="  ")
    return drawn(figure, "agreement")


def _whiskers(measures: Sequence[Measure]) -> dict[str, Any]:
    ends = [
        (one.value if one.low is None else one.low, one.value if one.high is None else one.high) for one in measures
    ]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - one.value for (_, high), one in zip(ends, measures, strict=True)],
        "arrayminus": [one.value - low for (low, _), one in zip(ends, measures, strict=True)],
        "thickness": 1,
        "width": 3,
        "color": _INK,
    }
