"""The PGSRM paper's tasks with a pretrained child, as a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pgsrm_lab.reproduce.collect import tables_folder
from pgsrm_lab.reproduce.paper.grid import task_digest
from pgsrm_lab.reproduce.real import chat_page, chat_report, chat_runs
from pgsrm_lab.reproduce.real.chat_measures import MEASURES, row_of
from pgsrm_lab.reproduce.real.chat_protocol import UPDATES
from pgsrm_lab.reproduce.real.chat_rewards import ARMS
from pgsrm_lab.reproduce.study import Job, Run, Study
from pgsrm_lab.reproduce.summary import Results
from pgsrm_lab.tasks import PGSRM_TASKS


class PretrainedChild(Study):
    """What does a pretrained child, asked in chat and not warmed up, learn where the binary reward is silent?"""

    name: ClassVar = "pgsrm-real"
    tasks: ClassVar = PGSRM_TASKS
    arms: ClassVar = ARMS
    measures: ClassVar = MEASURES
    baseline: ClassVar = "binary"
    update: ClassVar = UPDATES[0]
    updates: ClassVar = UPDATES
    seeded_start: ClassVar = False

    def task_digest(self, task: str) -> str:
        """Of a task's prompts, split and answers."""
        return task_digest(task)

    def start(self, job: Job, folder: Path) -> None:
        """The prompts, and the child's answers before any training."""
        chat_runs.start(job, folder)

    def train(self, job: Job) -> dict[str, Any]:
        """GRPO or PPO on the job's reward."""
        return chat_runs.train(job)

    def rows(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """Every measure of each run."""
        return [row_of(run) for run in runs]

    def pages(self, results: Path, name: str) -> dict[str, str]:
        """One page."""
        return chat_page.render(Results.read(self, results), tables_folder(results), name)

    def report(self, out: Path) -> Path:
        """The answers and rewards over training, drawn."""
        return chat_report.write_report(Results.read(self, out), out)
