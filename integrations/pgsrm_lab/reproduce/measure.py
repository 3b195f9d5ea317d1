"""Numbers of a run: what each is called and how it is written, and pure functions that make them of curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pgsrm_plugin.report.stats import Interval

MINUS = "\N{MINUS SIGN}"
WARM_UP = 0.2
"""The first share of the steps is left out of the variances."""


@dataclass(frozen=True)
class Measure:
    """A number of a run.

    Attributes:
        column: in results.parquet.
        title: on pages.
        better: the direction that is claimed, or wanted.
        percent: it is a share.
        about: how it is measured; empty where another measure says it.
    """

    column: str
    title: str
    better: Literal["higher", "lower"]
    percent: bool = False
    about: str = ""

    def text(self, value: float) -> str:
        """A value with its unit."""
        return self._plain(value) + (" %" if self.percent else "")

    def spread(self, found: Interval) -> str:
        """A mean with its interval."""
        return f"{self.text(found.mean)} ({self._plain(found.low)} to {self._plain(found.high)})"

    def gap(self, found: Interval) -> str:
        """A mean difference with its interval, all signed."""
        mean, low, high = (self._signed(value) for value in (found.mean, found.low, found.high))
        return f"{mean}{' points' if self.percent else ''} ({low} to {high})"

    def _plain(self, value: float) -> str:
        if self.percent:
            return f"{100 * value:.1f}"
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

    def _signed(self, value: float) -> str:
        text = self._plain(abs(value))
        return text if not float(text.replace(",", "")) else ("+" if value > 0 else MINUS) + text


def episodes_to(threshold: float, steps: Sequence[int], values: Sequence[float], per_step: int) -> tuple[float, bool]:
    """Episodes until a curve first reaches a threshold, linear between its points; and whether it does at all.

    >>> episodes_to(0.5, [0, 10, 20], [0.0, 0.4, 0.6], per_step=100)
    (1500.0, True)
    >>> episodes_to(0.9, [0, 10, 20], [0.0, 0.4, 0.6], per_step=100)
    (2000.0, False)
    """
    if values[0] >= threshold:
        return float(steps[0] * per_step), True
    for i in range(1, len(values)):
        if values[i] >= threshold:
            part = (threshold - values[i - 1]) / (values[i] - values[i - 1])
            return round((steps[i - 1] + part * (steps[i] - steps[i - 1])) * per_step, 6), True
    return float(steps[-1] * per_step), False


def smoothness(rewards: Sequence[float]) -> float:
    """The standard deviation of the first differences of a series, in units of its range; 0 for a constant one.

    >>> smoothness([0.0, 1.0, 2.0]), smoothness([0.0, 2.0, 0.0])
    (0.0, 1.0)
    """
    values = np.asarray(rewards, dtype=float)
    span = float(np.ptp(values))
    return float(np.diff(values).std() / span) if span > 0 else 0.0


def late_variance(values: Sequence[float], relative: bool = False) -> float:
    """The variance of what comes after the warm-up; ``relative`` to the squared mean of the same part.

    >>> late_variance([9.0, 1.0, 3.0, 1.0, 3.0]), late_variance([9.0, 1.0, 3.0, 1.0, 3.0], relative=True)
    (1.0, 0.25)
    """
    late = np.asarray(_late(values))
    variance = float(late.var())
    if not relative:
        return variance
    mean = float(late.mean())
    return variance / mean**2 if mean else 0.0


def jitter(values: Sequence[float]) -> float:
    """Half the mean squared first difference after the warm-up (von Neumann): a variance that no trend enters.

    >>> jitter([9.0, 1.0, 3.0, 1.0, 3.0])
    2.0
    """
    return float((np.diff(_late(values)) ** 2).mean() / 2) if len(_late(values)) > 1 else 0.0


def collapsed(accuracy: Sequence[float], numbers: Sequence[float]) -> bool:
    """Whether a run broke: it ended below its warm start, or below half of its own best, or a number is not finite.

    >>> collapsed([0.1, 0.6, 0.2], []), collapsed([0.1, 0.6, 0.5], []), collapsed([0.1, 0.2, 0.09], [])
    (True, False, True)
    """
    broken = not all(map(math.isfinite, [*accuracy, *numbers]))
    return broken or accuracy[-1] < accuracy[0] or accuracy[-1] < max(accuracy) / 2


def _late(values: Sequence[float]) -> Sequence[float]:
    return values[math.ceil(WARM_UP * len(values)) :] if len(values) > 1 else values
