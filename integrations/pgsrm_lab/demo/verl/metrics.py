"""verl's and Lightning's records of a run under the report's names, and on one clock.

A number's step is the count of training steps that were done when it was measured: the reward, KL and entropy of the
first step belong to the warm start, as does the validation before it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.report.run import METRICS, ROLLOUTS

Points = dict[int, dict[str, float]]
"""Values by step and name."""
Row = Mapping[str, Any]

VERL_NAMES = {
    "critic/score/mean": "train/reward",
    "actor/kl_loss": "train/kl",
    "actor/entropy": "train/entropy",
    "actor/pg_clipfrac": "train/clip_fraction",
    "actor/grad_norm": "train/grad_norm",
    "response_length/mean": "train/response_tokens",
    "pgsrm/semantic/mean": "train/reward/semantic",
    "pgsrm/unscorable": "train/unscorable",
    "pgsrm/encoder_tokens": "train/encoder_tokens",
    "timing_s/step": "time/step_s",
    "timing_s/gen": "time/rollout_s",
    "timing_s/reward": "time/reward_s",
    "timing_s/update_actor": "time/update_s",
    "timing_s/testing": "time/validation_s",
    **{f"val-core/{name}/acc/mean@1": f"val/{name}/accuracy" for name in ("train", "held_out")},
    **{f"val-aux/{name}/pgsrm/semantic/mean@1": f"val/{name}/semantic" for name in ("train", "held_out")},
}
"""What the report takes from verl's metrics, and how it calls it; the data sets are named by their data_source."""


def verl_points(path: Path) -> Points:
    """Reads verl's file logger, also while it is being written.

    verl counts its steps from 1 and calls the validation after step n the n-th too.
    """
    points: Points = {}
    if not path.exists():
        return points
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        entry = json.loads(line)
        for name, value in entry["data"].items():
            ours = VERL_NAMES.get(name)
            if ours is None or not isinstance(value, int | float):
                continue
            step = entry["step"] if ours.startswith("val/") else entry["step"] - 1
            points.setdefault(step, {})[ours] = float(value)
    return points


def lightning_points(path: Path) -> Points:
    """Reads the CSVLogger's file, also while it is being written.

    Lightning counts its steps from 0 and gives a validation the number of the step before it.
    """
    points: Points = {}
    if not path.exists():
        return points
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
        if not (row.get("step") or "").isdigit():
            continue
        step = int(row.pop("step"))
        for name, cell in row.items():
            if isinstance(cell, str) and cell and name not in (None, "epoch"):
                points.setdefault(step + name.startswith("val/"), {})[name] = float(cell)
    return points


def write_points(points: Points, folder: Path) -> None:
    """Writes metrics.csv."""
    names = sorted({name for values in points.values() for name in values})
    with (folder / METRICS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["step", *names])
        writer.writeheader()
        writer.writerows({"step": step, **points[step]} for step in sorted(points))


def validation_points(rows: Iterable[Row]) -> dict[str, float]:
    """Each validation set's mean accuracy, as the trainer judged the answers, and mean similarity."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        found.setdefault(row["split"], []).append((row["accuracy"], row["reward/semantic"]))
    points: dict[str, float] = {}
    for split, values in found.items():
        accuracy, semantic = (sum(column) / len(values) for column in zip(*values, strict=True))
        points |= {f"{split}/accuracy": accuracy, f"{split}/semantic": semantic}
    return points


def seconds(points: Points) -> dict[str, float]:
    """What the steps spent their time on, in sum; what is left of the total is the start and the end of the run."""
    spent: dict[str, float] = {}
    for values in points.values():
        for name, value in values.items():
            if name.startswith("time/"):
                part = name.removeprefix("time/").removesuffix("_s")
                spent[part] = spent.get(part, 0.0) + value
    return spent


def lightning_rollouts(folder: Path) -> list[dict[str, Any]]:
    """What RolloutLog wrote of the validation sets at both ends of the run."""
    lines = (folder / ROLLOUTS).read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["split"].startswith("val/")]


def verl_rollouts(folder: Path, steps: int, splits: Mapping[str, str]) -> list[dict[str, Any]]:
    """The first and the last validation that verl wrote, as rollouts of the report.

    Args:
        splits: the validation set of each prompt.

    Raises:
        DataError: verl wrote no responses, or some to a prompt of neither set.
    """
    rows = []
    for when, step in (("start", 0), ("end", steps)):
        path = folder / f"{step}.jsonl"
        if not path.is_file():
            raise DataError(f"{path}: verl wrote no validation responses")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            entry = json.loads(line)
            if entry["input"] not in splits:
                raise DataError(f"{path}:{number}: {entry['input']!r} is no prompt of the task")
            scores = {
                f"reward/{name.removeprefix('pgsrm/')}": value
                for name, value in entry.items()
                if name.startswith("pgsrm/")
            }
            rows.append(
                {
                    "step": step,
                    "split": f"val/{splits[entry['input']]}",
                    "when": when,
                    "prompt": entry["input"],
                    "response": entry["output"],
                    "references": [entry["gts"]],
                    "accuracy": entry["acc"],
                    "reward": entry["score"],
                    **scores,
                }
            )
    return rows


def write_rollouts(rows: Iterable[Row], folder: Path) -> None:
    """Writes rollouts.jsonl."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / ROLLOUTS).write_text(text, encoding="utf-8")
