"""The numbers of a run with a pretrained child: what each means, and a run's file -> its row of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pgsrm_lab.reproduce.measure import Measure, late_variance, smoothness
from pgsrm_lab.reproduce.study import Row, Run

LATE = 0.25
"""The last share of the steps, whose sampled answers are the end of a run; as many first steps are its beginning."""
CURVES = ("sentence", "strict", "echo", "reward", "entropy")
"""Numbers of each step that are kept in the row, so that its page can draw them."""
SPLITS = ("train", "held_out")

MEASURES = {
    measure.column: measure
    for measure in (
        Measure(
            "sentence_final",
            "right from the sentence, sampled, at the end",
            "higher",
            True,
            f"share of the answers sampled in the last {100 * LATE:.0f} % of the steps",
        ),
        Measure("strict_final", "strictly right, sampled, at the end", "higher", True, "likewise"),
        Measure(
            "sentence_peak",
            "right from the sentence, sampled, at the best time",
            "higher",
            True,
            "the highest mean of as many steps in a row; a later fall is a hack that this measure does not see",
        ),
        Measure("sentence_mean", "right from the sentence, sampled, mean over the run", "higher", True),
        Measure("strict_mean", "strictly right, sampled, mean over the run", "higher", True),
        Measure(
            "sentence_greedy_train",
            "right from the sentence, greedy, at the end",
            "higher",
            True,
            "share of the training prompts",
        ),
        Measure("strict_greedy_train", "strictly right, greedy, at the end", "higher", True, "likewise"),
        Measure("sentence_greedy_held_out", "right from the sentence, greedy, held-out prompts", "higher", True),
        Measure("strict_greedy_held_out", "strictly right, greedy, held-out prompts", "higher", True),
        Measure(
            "cosine_train",
            "likeness at the end",
            "higher",
            about="mean of max(0, cos) of the greedy answers under MiniLM: one yardstick for all arms",
        ),
        Measure("echo_final", "echoes, sampled, at the end", "lower", True, "answers without a word of their own"),
        Measure("echo_greedy_train", "echoes, greedy, at the end", "lower", True),
        Measure("entropy_final", "entropy at the end", "higher", about="nats a token, mean over the same steps"),
        Measure(
            "silent",
            "silent groups",
            "lower",
            True,
            "share of the groups (the answers to one prompt) in which all earn the same, mean over the run",
        ),
        Measure(
            "smoothness",
            "roughness of the reward",
            "lower",
            about="standard deviation of the first differences of the batch reward, in units of its range over the "
            "run; none where it never moves",
        ),
        Measure("entropy_variance", "variance of entropy", "lower", about="after the first fifth of the steps"),
        Measure(
            "value_loss_variance",
            "variance of value loss",
            "lower",
            about="likewise, over its squared mean; PPO alone has one",
        ),
    )
}


def row_of(run: Run) -> dict[str, Any]:
    """A finished run's row of results.parquet; measures that a run cannot have are None."""
    curves = {name: list(found["values"]) for name, found in run["curves"].items()}
    late = max(1, math.ceil(LATE * len(curves["train/reward"])))
    kept = ("task", "arm", "update", "seed", "episodes", "digest", "spec", "fingerprint", "child_parameters")
    rewards, losses = curves["train/reward"], curves.get("train/value_loss")
    return {
        **{name: run[name] for name in kept},
        "steps": len(rewards),
        "child": run["settings"]["child"],
        "child_origin": run["settings"]["origin"],
        **{f"{name}_first": _mean(curves[f"train/{name}"][:late]) for name in CURVES},
        **{f"{name}_final": _mean(curves[f"train/{name}"][-late:]) for name in CURVES},
        **{f"{name}_mean": _mean(curves[f"train/{name}"]) for name in CURVES},
        "sentence_peak": peak(curves["train/sentence"], late),
        **_greedy(run["examples"]),
        "silent": _mean(curves["train/zero_variance_groups"]),
        "truncated_final": _mean(curves["train/response_truncated"][-late:]),
        "smoothness": smoothness(rewards) if max(rewards) > min(rewards) else None,
        "entropy_variance": late_variance(curves["train/entropy"]),
        "value_loss_variance": late_variance(losses, relative=True) if losses else None,
        **{f"paid_{kind}": total / count if count else None for kind, (count, total) in run["paid"].items()},
        **{f"count_{kind}": count for kind, (count, _) in run["paid"].items()},
        "by_step": json.dumps({name: curves[f"train/{name}"] for name in CURVES}),
        "seconds": run["seconds"]["total"],
        "step_seconds": sum(run["seconds"][part] for part in ("rollout", "reward", "update")) / len(rewards),
        **{name: json.dumps(run[name]) for name in ("versions", "machine", "settings")},
    }


def peak(values: Sequence[float], width: int) -> float:
    """The highest mean of so many values in a row.

    >>> peak([0.0, 1.0, 0.5, 0.0], 2)
    0.75
    """
    return max(_mean(values[start : start + width]) for start in range(len(values) - width + 1))


def curve_of(row: Row, name: str) -> list[float]:
    """A number at each step of a run."""
    found: list[float] = json.loads(row["by_step"])[name]
    return found


def _greedy(examples: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Shares of the greedy answers, before (``start``) and after, by split."""
    found: dict[str, float | None] = {}
    for split in SPLITS:
        rows = [one for one in examples if one["split"] == split]
        for column, when in (("start", "before"), ("greedy", "after")):
            for kind in ("strict", "sentence", "echo"):
                found[f"{kind}_{column}_{split}"] = _mean([one[f"{kind}_{when}"] for one in rows]) if rows else None
        found[f"cosine_{split}"] = _mean([one["cosine_after"] for one in rows]) if rows else None
        found[f"cosine_start_{split}"] = _mean([one["cosine_before"] for one in rows]) if rows else None
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
