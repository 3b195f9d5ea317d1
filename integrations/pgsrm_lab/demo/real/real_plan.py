"""What the demo runs: the child, the task and its split, the rewards, and how many steps fit into the time."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from pgsrm_lab.demo.one_run import OneRun
from pgsrm_lab.tasks import Task, word_categorisation
from pgsrm_lab.tasks.export import records
from pgsrm_lightning.algorithms.base import KLConfig
from pgsrm_lightning.algorithms.grpo import GRPOConfig
from pgsrm_lightning.config import SamplingConfig
from pgsrm_plugin.pretrained.embedded import MODEL

REWARDS = {"guarded": "guarded", "binary": "binary", "cosine alone": "pgsrm"}
"""Each reward's name on the page, and its shipped spec. The first two are compared; the third has no guards."""
SET = "held_out"
"""The validation set: the name of its file and of its metrics."""
MEASURED_STEPS = 2
LEAST_STEPS = 2
VALIDATIONS = 3
"""Between start and end, so many stretches of training."""


@dataclass(frozen=True)
class RealPlan:
    """The settings of the demo.

    Attributes:
        steps: of each run; None: as many as fit into ``minutes``, ``most_steps`` at most.
        held_out: prompts that are only asked, the last of the task's.
        grpo: without a KL penalty, so no second copy of the child is kept.
    """

    out: Path
    child: str = MODEL
    steps: int | None = None
    minutes: float = 15.0
    most_steps: int = 30
    prompts_per_step: int = 4
    held_out: int = 20
    seed: int = 0
    sampling: SamplingConfig = field(
        default_factory=lambda: SamplingConfig(max_new_tokens=16, temperature=0.7, chat=True)
    )
    grpo: GRPOConfig = field(
        default_factory=lambda: GRPOConfig(group_size=8, lr_actor=3e-5, kl=KLConfig(coef=0.0, schedule="fixed"))
    )

    @property
    def task(self) -> Task:
        """Word categorisation: ten categories, so that what is learned of one word helps with another."""
        task = word_categorisation()
        train, held_out = task.train_prompts[: -self.held_out], task.train_prompts[-self.held_out :]
        return dataclasses.replace(task, train_prompts=train, held_out_prompts=held_out)

    def write_prompts(self) -> None:
        """Writes the prompt files of the runs."""
        for split in ("train", SET):
            rows = [json.dumps(row) + "\n" for row in records(self.task, split)]
            (self.out / f"{split}.jsonl").write_text("".join(rows), encoding="utf-8")

    def run(self, label: str, steps: int, folder: str | None = None) -> OneRun:
        """The run of a reward."""
        spec = REWARDS[label]
        return OneRun(
            label=label,
            spec=spec,
            seed=self.seed,
            folder=self.out / (folder or spec),
            child=self.child,
            prompts=self.out,
            sets=(SET,),
            algorithm=self.grpo,
            sampling=self.sampling,
            prompts_per_step=self.prompts_per_step,
            steps=steps,
            validate_every=max(2, -(-steps // VALIDATIONS)),  # one after the first step would stand for the start
            logged=max(self.held_out, self.prompts_per_step * self.grpo.group_size),
        )


def quick(out: Path, child: str) -> RealPlan:
    """A plan of a minute: everything happens, nothing much is learned."""
    short = SamplingConfig(max_new_tokens=6, temperature=0.7, chat=True)
    group = GRPOConfig(group_size=2, lr_actor=3e-5, kl=KLConfig(coef=0.0, schedule="fixed"))
    return RealPlan(out, child, steps=2, prompts_per_step=2, held_out=4, sampling=short, grpo=group)


def fitting_steps(left_s: float, step_s: float, beside_s: float, most: int) -> int:
    """Steps of each run that end in time, at least :data:`LEAST_STEPS`.

    Args:
        left_s: seconds for all runs.
        step_s: of one step.
        beside_s: what a run takes beside its steps: loading, validations.
        most: steps, however fast the machine is.

    >>> fitting_steps(600, 10, 20, 24), fitting_steps(600, 1, 20, 24), fitting_steps(600, 500, 20, 24)
    (18, 24, 2)
    """
    return max(LEAST_STEPS, min(most, int((left_s / len(REWARDS) - beside_s) / step_s)))
