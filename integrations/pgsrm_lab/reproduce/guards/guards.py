"""Guards against cosine, token recall and binary as a study."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pgsrm_lab.reproduce.collect import tables_folder
from pgsrm_lab.reproduce.guards import drawing, grpo_runs, page
from pgsrm_lab.reproduce.guards.protocol import GuardsProtocol
from pgsrm_lab.reproduce.guards.rewards import ARMS
from pgsrm_lab.reproduce.guards.shares import MEASURES, row_of
from pgsrm_lab.reproduce.study import Job, Run, Study, digest
from pgsrm_lab.reproduce.summary import Results
from pgsrm_lab.tasks.statements import STATEMENTS


class Guards(Study):
    """What does a child learn that can answer rightly in other words, or wrongly in nearly the reference's?"""

    name: ClassVar = "guards"
    tasks: ClassVar = STATEMENTS
    arms: ClassVar = ARMS
    measures: ClassVar = MEASURES
    baseline: ClassVar = "cosine"
    update: ClassVar = "grpo"

    def plan(
        self, tasks: Sequence[str], arms: Sequence[str], seeds: int, protocol: GuardsProtocol, out: Path
    ) -> list[Job]:
        """The jobs, seed by seed; all tasks and all rewards where none is named.

        Raises:
            SpecError: a task or an arm does not exist.
        """
        self.check(tasks, arms)
        return [
            Job(self, task, arm, self.update, seed, protocol, out)
            for seed in range(seeds)
            for task in tasks or self.tasks
            for arm in arms or self.arms
        ]

    def task_digest(self, task: str) -> str:
        """Of a kind's prompts and all their answers."""
        return _task_digest(task)

    def start(self, job: Job, folder: Path) -> None:
        """A child that gives right and wrong answers equally often."""
        grpo_runs.start(job, folder)

    def train(self, job: Job) -> dict[str, Any]:
        """GRPO on the job's reward."""
        return grpo_runs.train(job)

    def rows(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """Shares of right, wrong and other answers of each run."""
        return [row_of(run) for run in runs]

    def pages(self, results: Path, name: str) -> dict[str, str]:
        """One page."""
        return page.render(Results.read(self, results), tables_folder(results), name)

    def report(self, out: Path) -> Path:
        """The shares over training, drawn."""
        return drawing.write_report(Results.read(self, out), out)


@functools.cache
def _task_digest(task: str) -> str:
    return digest([dataclasses.asdict(statement) for statement in STATEMENTS[task]()])
