"""The demo's page: curves of each stage, and the same question's explanation after each, beside the expert's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pgsrm_plugin.report.figures import COLOURS
from pgsrm_plugin.report.page import write_page
from pgsrm_plugin.report.templates import drawn, environment

_INK = "#8a8f98"
TERMS = ("semantic", "correctness", "format")
"""The terms that the reward is made of."""
SHOWN = 6
"""Questions of each split on the page."""


@dataclass(frozen=True)
class Curve:
    """A metric over steps."""

    steps: list[int]
    values: list[float]


@dataclass(frozen=True)
class Answer:
    """A greedy answer to a question, with the reward's numbers."""

    split: str
    prompt: str
    reference: str
    key: str
    response: str
    numbers: Mapping[str, float]

    @property
    def question(self) -> str:
        """Without options and instruction."""
        return self.prompt.partition("\n")[0]


@dataclass(frozen=True)
class StagesRun:
    """What the demo has to show.

    Attributes:
        names: of the stages, by key.
        curves: by stage and metric.
        answers: by stage, the same questions in the same order.
    """

    names: Mapping[str, str]
    curves: Mapping[str, Mapping[str, Curve]]
    answers: Mapping[str, Sequence[Answer]]
    settings: Mapping[str, int]
    versions: Mapping[str, Any]
    machine: Mapping[str, Any]
    seconds: float

    def mean(self, stage: str, split: str, term: str) -> float:
        """A term's mean over the answers to a split's questions after a stage."""
        found = [answer.numbers[f"reward/{term}"] for answer in self.answers[stage] if answer.split == split]
        return sum(found) / len(found)

    @property
    def summary(self) -> list[tuple[str, str]]:
        """A line a stage: likeness and right letters."""
        return [
            (
                name,
                "; ".join(
                    f"{split} questions: cosine {self.mean(stage, split, 'semantic'):.2f}, "
                    f"right letters {self.mean(stage, split, 'correctness'):.0%}"
                    for split in ("trained", "held out")
                ),
            )
            for stage, name in self.names.items()
        ]


def write_stages_page(run: StagesRun, out: Path) -> Path:
    """Writes report.html into the demo's folder."""
    template = environment(__package__).get_template("three_stages.html.j2")
    page = template.render(
        title="A tiny child learns to explain",
        run=run,
        terms=TERMS,
        splits=("trained", "held out"),
        figures=_figures(run),
        questions=_questions(run),
    )
    return write_page(out / "report.html", page)


def _questions(run: StagesRun) -> list[dict[str, Any]]:
    """Questions spread over each split: the expert's explanation, and the child's after each stage."""
    last = run.answers[list(run.names)[-1]]
    chosen: list[int] = []
    for split in ("trained", "held out"):
        places = [place for place, answer in enumerate(last) if answer.split == split]
        chosen += places[:: max(1, len(places) // SHOWN)][:SHOWN]
    return [
        {
            "question": last[place].question,
            "split": last[place].split,
            "key": last[place].key,
            "reference": last[place].reference,
            "after": [(name, run.answers[stage][place]) for stage, name in run.names.items()],
        }
        for place in chosen
    ]


def _figures(run: StagesRun) -> list[tuple[str, Markup, str]]:
    """Title, drawing and note of each."""
    losses = {"training loss": "train/loss", "loss on held-out answers": "val/held_out/loss"}
    rewards = {term: f"train/reward/{term}" for term in TERMS}
    wanted = (
        ("1. Texts: loss", "texts", losses, "Cross entropy a token: question, right option, explanation, as text."),
        ("2. Answers: loss", "answers", losses, "The prompt is not learned, only the expert's answer."),
        ("3. GRPO: reward", "explained", {"reward": "train/reward"}, "0.6 semantic, 0.3 correctness, 0.1 format."),
        ("3. GRPO: each term", "explained", rewards, "Of sampled answers to trained questions, before the weights."),
        ("3. GRPO: KL", "explained", {"KL": "train/kl"}, "Nats a token from the child of stage 2."),
    )
    found = []
    for number, (title, stage, metrics, note) in enumerate(wanted):
        lines = {name: run.curves[stage][metric] for name, metric in metrics.items() if metric in run.curves[stage]}
        found.append((title, drawn(_figure(lines), f"stage-{number}"), note))
    return found


def _figure(lines: Mapping[str, Curve]) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    for colour, (name, curve) in zip(COLOURS, lines.items(), strict=False):
        figure.add_scatter(x=curve.steps, y=curve.values, mode="lines", name=name, line={"color": colour, "width": 2})
    figure.update_layout(
        height=230,
        margin={"l": 44, "r": 10, "t": 44 if len(lines) > 1 else 8, "b": 32},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 11, "color": _INK},
        showlegend=len(lines) > 1,
        legend={"orientation": "h", "y": 1, "yanchor": "bottom"},
    )
    axis = {"gridcolor": "rgba(138,143,152,0.18)", "zeroline": False, "automargin": True}
    figure.update_xaxes(**axis, title={"text": "step", "standoff": 4})
    figure.update_yaxes(**axis, rangemode="tozero")
    return figure
