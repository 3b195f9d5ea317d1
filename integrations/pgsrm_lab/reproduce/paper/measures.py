"""The measures of the PGSRM study: what each number means, and a run's curves -> its row of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pgsrm_lab.reproduce.measure import (
    Measure,
    collapsed,
    episodes_to,
    jitter,
    late_variance,
    smoothness,
)
from pgsrm_lab.reproduce.paper.arms import of_role
from pgsrm_lab.reproduce.study import Row, Run
from pgsrm_plugin.report.stats import area

SHARE = 0.9
"""Episodes are counted until this share of the best reward's final accuracy."""

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


def rows_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The row of each run."""
    return add_episodes([row_of(run) for run in runs], runs)


def row_of(run: Run) -> dict[str, Any]:
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


def add_episodes(rows: Sequence[dict[str, Any]], runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Adds ``threshold``, ``episodes_to_90`` and ``reached_90`` to each row."""
    thresholds = {key: SHARE * best for key, best in best_final(rows).items()}
    added = []
    for row, run in zip(rows, runs, strict=True):
        curve = run["curves"]["val/train/chance"]
        threshold = thresholds.get((row["task"], row["update"]), row["final_train"])
        per_step = row["episodes"] // row["steps"]
        episodes, reached = episodes_to(threshold, curve["steps"], curve["values"], per_step)
        added.append({**row, "threshold": threshold, "episodes_to_90": episodes, "reached_90": reached})
    return added


def best_final(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """By task and update rule, the highest mean final accuracy among the claimed rewards and their baseline."""
    finals: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row["arm"] in of_role("claim", "baseline"):
            finals.setdefault((row["task"], row["update"], row["arm"]), []).append(row["final_train"])
    best: dict[tuple[str, str], float] = {}
    for (task, update, _), values in finals.items():
        mean = sum(values) / len(values)
        best[task, update] = max(mean, best.get((task, update), 0.0))
    return best


def _values(curves: Mapping[str, Any], name: str) -> list[float]:
    return list(curves[name]["values"])
