"""The PGSRM paper's experiments as a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

from pgsrm_lab.reproduce.collect import tables_folder
from pgsrm_lab.reproduce.paper import figures, markdown, ppo_runs
from pgsrm_lab.reproduce.paper.arms import ARMS, Update, of_role
from pgsrm_lab.reproduce.paper.grid import task_digest
from pgsrm_lab.reproduce.paper.measures import MEASURES, rows_of
from pgsrm_lab.reproduce.study import Job, Run, Study
from pgsrm_lab.reproduce.summary import Results
from pgsrm_lab.tasks import PGSRM_TASKS


class Pgsrm(Study):
    """Does PGSRM learn faster, smoother and steadier than a binary reward, as its paper (arXiv 2512.06920) claims?"""

    name: ClassVar = "pgsrm"
    tasks: ClassVar = PGSRM_TASKS
    arms: ClassVar = ARMS
    measures: ClassVar = MEASURES
    (baseline,) = of_role("baseline")
    update: ClassVar = "ppo"
    updates: ClassVar = get_args(Update)

    def task_digest(self, task: str) -> str:
        """Of a task's prompts, split and answers."""
        return task_digest(task)

    def start(self, job: Job, folder: Path) -> None:
        """A child that samples the parent's answer with the goal's probability."""
        ppo_runs.start(job, folder)

    def train(self, job: Job) -> dict[str, Any]:
        """PPO or REINFORCE on the job's reward."""
        return ppo_runs.train(job)

    def rows(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """Every measure of each run."""
        return rows_of(runs)

    def pages(self, results: Path, name: str) -> dict[str, str]:
        """The findings, and beside them the verdicts, the tables of each task, and the method."""
        return markdown.render(Results.read(self, results), tables_folder(results), name)

    def report(self, out: Path) -> Path:
        """A figure for each claim, and the curves behind it."""
        return figures.write_report(Results.read(self, out), out)
