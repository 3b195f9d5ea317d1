"""What both demos begin with: a parent that knows the colours, its answers on file, and a child that knows a few."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pgsrm_lab.demo.display import Stages
from pgsrm_lab.tasks import Task
from pgsrm_lab.tiny import Size, ask_parent, make_parent, warm_start_child, write_prompts

SETS = ("train", "held_out")
"""The two sets of prompts: the names of their files and of the validation metrics."""
FILES = ("parent", "child", "parent.jsonl", "train.jsonl", "held_out.jsonl", "report.html")
"""What every demo writes into its folder."""
_SIZE = Size(layers=3, width=256)


@dataclass(frozen=True)
class DemoPlan:
    """The settings that the demos share.

    Attributes:
        out: the folder of everything that is written.
        steps: training steps of every run.
        new_tokens: of a response, its end included.
        validate_every: steps between validations.
        warm_start: the child's supervised run stops once it samples the right answer with this probability.
    """

    out: Path
    steps: int
    new_tokens: int = 3
    validate_every: int = 10
    warm_start: float = 0.15
    child: Size = _SIZE
    parent: Size = _SIZE


def clear_folder(out: Path, names: Iterable[str]) -> None:
    """Makes the folder, and removes what an earlier demo wrote there; nothing else in it is touched."""
    out.mkdir(parents=True, exist_ok=True)
    for path in (out / name for name in names):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def prepare_child(task: Task, plan: DemoPlan, stages: Stages) -> dict[str, str]:
    """Trains the parent, stores its answers and the prompts, warm-starts the child; the parent's answers by prompt.

    Raises:
        PgsrmError: one of the two did not learn enough, or an answer of the parent is missing.
    """
    stages.begin("parent learns", 100)
    make_parent(task, plan.parent, plan.out / "parent", stages.learning)
    answers = ask_parent(task, plan.out / "parent", plan.out / "parent.jsonl")
    stages.end(f"all {len(answers)} answers right, stored")
    stages.begin("child warm start", round(100 * plan.warm_start))
    warm_start_child(task, answers, plan.out, plan.child, plan.warm_start, stages.learning)
    stages.end("done")
    write_prompts(task, answers, plan.out)
    return answers
