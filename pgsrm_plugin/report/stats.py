"""Curves over seeds, bootstrap intervals, and the rule by which two labels are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.report.run import Run

RESAMPLES = 10_000


@dataclass(frozen=True)
class Band:
    """A metric over the seeds of one label; each array is (steps,)."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def by_label(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each label, labels in order of appearance, runs by seed.

    Raises:
        DataError: there are no runs, or one label has a seed twice.
    """
    if not runs:
        raise DataError("a report needs at least one run")
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.label, []).append(run)
    for label, group in groups.items():
        group.sort(key=lambda run: run.info.seed)
        seeds = [run.info.seed for run in group]
        if len(set(seeds)) != len(seeds):
            raise DataError(f"label {label!r} has a seed twice: {seeds}")
    return groups


def band(runs: Sequence[Run], metric: str) -> Band:
    """Mean, least and greatest value over the runs at each step.

    Raises:
        DataError: a run has no such metric, or other steps than the first run.
    """
    series = [run.metric(metric) for run in runs]
    for run, other in zip(runs, series, strict=True):
        if other.steps != series[0].steps:
            raise DataError(
                f"{run.name}: {metric!r} has {len(other.steps)} points up to step {other.steps[-1]}, but "
                f"{runs[0].name} has {len(series[0].steps)} up to step {series[0].steps[-1]}; "
                "is one of them unfinished?"
            )
    values = np.array([other.values for other in series])
    return Band(np.array(series[0].steps), values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def first(runs: Sequence[Run], metric: str) -> list[float]:
    """The metric's first value in each run."""
    return [run.metric(metric).values[0] for run in runs]


def last(runs: Sequence[Run], metric: str) -> list[float]:
    """The metric's last value in each run."""
    return [run.metric(metric).values[-1] for run in runs]


def area(steps: Sequence[int], values: Sequence[float]) -> float:
    """The mean height of a curve over its steps (trapezoids).

    >>> area([0, 10, 20], [0.0, 1.0, 1.0])
    0.75
    """
    x, y = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    width = np.diff(x)
    return float((width * (y[1:] + y[:-1]) / 2).sum() / width.sum()) if len(x) > 1 else float(y[0])


def along(runs: Sequence[Run], metric: str) -> list[float]:
    """The mean of the metric over each run's course: high for a run that learns early."""
    series = [run.metric(metric) for run in runs]
    return [area(one.steps, one.values) for one in series]


def interval(values: Sequence[float]) -> Interval:
    """Mean with a 95 % percentile-bootstrap interval over the values (10,000 resamples, fixed seed)."""
    from scipy.stats import bootstrap  # takes seconds to import, and training imports this package

    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    if len(array) == 1:  # scipy resamples two values at least
        return Interval(mean, mean, mean)
    rng = np.random.default_rng(0)
    found = bootstrap((array,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=rng).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def difference(runs: Sequence[Run], others: Sequence[Run], metric: str) -> Interval:
    """The interval of (last value of ``runs`` - last value of ``others``), paired by seed.

    Raises:
        DataError: the two do not have the same seeds.
    """
    seeds, other_seeds = [run.info.seed for run in runs], [run.info.seed for run in others]
    if seeds != other_seeds:
        raise DataError(
            f"{runs[0].label!r} has seeds {seeds} and {others[0].label!r} {other_seeds}; "
            "only equal seeds can be compared"
        )
    pairs = zip(last(runs, metric), last(others, metric), strict=True)
    return interval([ours - theirs for ours, theirs in pairs])


def seconds(runs: Sequence[Run], name: str) -> float:
    """Mean seconds that the runs spent on something; 0 where they did not say."""
    return float(np.mean([run.info.seconds.get(name, 0.0) for run in runs]))


def common(runs: Sequence[Run], field: str) -> Mapping[str, object]:
    """The entries of a run.json mapping that all runs share."""
    mappings = [getattr(run.info, field) for run in runs]
    return {key: value for key, value in mappings[0].items() if all(other.get(key) == value for other in mappings)}
