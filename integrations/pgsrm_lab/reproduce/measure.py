"""A run's curves -> its row of numbers. Pure functions; what each number means stands in :data:`MEASURES`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pgsrm_plugin.report.stats import Interval, area

MINUS = "\N{MINUS SIGN}"
WARM_UP = 0.2
"""The first share of the steps is left out of the variances."""
SHARE = 0.9
"""Episodes are counted until this share of the best reward's final accuracy."""


@dataclass(frozen=True)
class Measure:
    """A number of a run.

    Attributes:
        column: in results.parquet.
        title: on pages.
        better: the direction that the paper claims for PGSRM, or that is wanted.
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


MEASURES = {
    measure.column: measure
    for measure in (
        Measure(
            "auc_train",
            "accuracy on training prompts, mean over the run",
            "higher",
            True,
            "area under the curve of the probability that a sampled answer is the parent's, over the run's length",
        ),
        Measure("auc_held_out", "accuracy on held-out prompts, mean over the run", "higher", True),
        Measure("final_train", "final accuracy, training prompts", "higher", True, "that probability at the end"),
        Measure("final_held_out", "final accuracy, held-out prompts", "higher", True),
        Measure("greedy_train", "final greedy accuracy, training prompts", "higher", True, "share of greedy answers"),
        Measure("greedy_held_out", "final greedy accuracy, held-out prompts", "higher", True),
        Measure(
            "semantic_train",
            "final semantic reward, training prompts",
            "higher",
            about="mean of max(0, cos) of greedy answers under MiniLM: one yardstick for all arms",
        ),
        Measure("semantic_held_out", "final semantic reward, held-out prompts", "higher"),
        Measure(
            "episodes_to_90",
            "episodes to 90 %",
            "lower",
            about="sampled answers until accuracy on training prompts first reaches 90 % of the best claimed or "
            "baseline reward's mean final accuracy on the task; a run that never does counts with all its episodes",
        ),
        Measure(
            "smoothness",
            "roughness of the reward",
            "lower",
            about="standard deviation of the first differences of the batch reward, in units of its range over the run",
        ),
        Measure(
            "kl_variance",
            "variance of KL",
            "lower",
            about="variance of the step's mean KL (k3, nats a token) after warm-up",
        ),
        Measure(
            "entropy_variance",
            "variance of entropy",
            "lower",
            about="variance of the step's mean entropy (nats a token) after warm-up",
        ),
        Measure(
            "value_loss_variance",
            "variance of value loss",
            "lower",
            about="variance after warm-up over the squared mean value loss, because its unit is the squared reward's",
        ),
        Measure(
            "kl_jitter",
            "KL from step to step",
            "lower",
            about="half the mean squared first difference of KL after warm-up: its variance without its trend",
        ),
    )
}


def row_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """A finished run's row of results.parquet, but for ``episodes_to_90``, which depends on the other runs.

    Measures of a held-out set that the task lacks are None.
    """
    curves = run["curves"]
    accuracy = _values(curves, "val/train/chance")
    seconds = run["seconds"]
    held_out = "val/held_out/chance" in curves
    row = {name: run[name] for name in ("task", "arm", "update", "seed", "episodes", "digest", "spec")}
    row |= {
        "steps": curves["train/reward"]["steps"][-1],
        "wrong_cosine": run["wrong_cosine"],
        "child": run["settings"]["child"],
        "child_origin": run.get("child_origin", run["settings"]["child"]),
        "child_parameters": run["child_parameters"],
        "start_train": accuracy[0],
        "start_held_out": _values(curves, "val/held_out/chance")[0] if held_out else None,
        "collapsed": collapsed(accuracy, [v for c in curves.values() for v in c["values"]]),
        "smoothness": smoothness(_values(curves, "train/reward")),
        "kl_variance": late_variance(_values(curves, "train/kl")),
        "entropy_variance": late_variance(_values(curves, "train/entropy")),
        "value_loss_variance": late_variance(_values(curves, "train/value_loss"), relative=True),
        "value_loss_variance_raw": late_variance(_values(curves, "train/value_loss")),
        "kl_jitter": jitter(_values(curves, "train/kl")),
        "seconds": seconds["total"],
        "reward_share": seconds["reward"] / seconds["total"],
        "versions": json.dumps(run["versions"]),
        "machine": json.dumps(run["machine"]),
        "settings": json.dumps(run["settings"]),
    }
    for name in ("train", "held_out"):
        there = name == "train" or held_out
        chance = curves[f"val/{name}/chance"] if there else None
        row[f"auc_{name}"] = area(chance["steps"], chance["values"]) if chance else None
        row[f"final_{name}"] = chance["values"][-1] if chance else None
        row[f"greedy_{name}"] = _values(curves, f"val/{name}/accuracy")[-1] if there else None
        row[f"semantic_{name}"] = _values(curves, f"val/{name}/semantic")[-1] if there else None
    return row


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


def _values(curves: Mapping[str, Any], name: str) -> list[float]:
    return list(curves[name]["values"])
