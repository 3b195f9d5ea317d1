"""Numbers over training as one drawing: a row a number, a column a task, a curve an arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgsrm_lab.reproduce.real.chat_measures import curve_of
from pgsrm_lab.reproduce.summary import Results
from pgsrm_plugin.report.figures import COLOURS, coloured

PANELS = {
    "sentence": "right from the sentence",
    "strict": "strictly right",
    "reward": "reward",
    "echo": "echoes",
    "entropy": "entropy, nats",
}
WIDTH, HEIGHT, GAP, LABEL = 330, 120, 44, 120
"""Of a panel, between panels, and of an arm's name above them, in pixels."""


@dataclass(frozen=True)
class Line:
    """A curve with its band, as polygons' points.

    Attributes:
        mean: over seeds, at each step.
        band: from the lowest seed to the highest.
    """

    colour: str
    mean: str
    band: str


@dataclass(frozen=True)
class Panel:
    """One number on one task.

    Attributes:
        x, y: of its upper left corner.
        top: the value at its upper edge; the lower one is 0.
    """

    title: str
    x: int
    y: int
    top: float
    steps: int
    lines: Sequence[Line]


def drawing(results: Results, update: str) -> dict[str, object]:
    """What the template draws."""
    panels = [
        _panel(results, task, name, update, column, row)
        for row, name in enumerate(PANELS)
        for column, task in enumerate(results.tasks)
    ]
    labels = coloured(results.arms(update=update))
    wide = max((WIDTH + GAP) * len(results.tasks), LABEL * len(labels))
    return {
        "panels": panels,
        "labels": labels,
        "panel": (WIDTH, HEIGHT),
        "step": LABEL,
        "size": (GAP + wide, GAP + (HEIGHT + GAP) * len(PANELS)),
    }


def _panel(results: Results, task: str, name: str, update: str, column: int, row: int) -> Panel:
    arms = {arm: [curve_of(one, name) for one in results.of(task, arm, update)] for arm in results.arms(update=update)}
    highest = max((max(curve) for curves in arms.values() for curve in curves), default=0.0)
    top = next((edge for edge in (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0) if highest <= edge), highest)
    lines = [_line(colour, arms[arm], top) for arm, colour in zip(arms, COLOURS, strict=False) if arms[arm]]
    steps = max((len(curve) for curves in arms.values() for curve in curves), default=0)
    x, y = GAP + column * (WIDTH + GAP), GAP + row * (HEIGHT + GAP)
    return Panel(f"{task}: {PANELS[name]}", x, y, top, steps, lines)


def _line(colour: str, curves: Sequence[Sequence[float]], top: float) -> Line:
    columns = list(zip(*curves, strict=True))
    mean = _points([sum(values) / len(values) for values in columns], top)
    low, high = _points([min(values) for values in columns], top), _points([max(values) for values in columns], top)
    return Line(colour, " ".join(mean), " ".join([*high, *reversed(low)]))


def _points(values: Sequence[float], top: float) -> list[str]:
    width = WIDTH / max(1, len(values) - 1)
    return [f"{number * width:.1f},{HEIGHT * (1 - value / top):.1f}" for number, value in enumerate(values)]
