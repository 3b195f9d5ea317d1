"""Semantic GRPO's claims as a study."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pgsrm_lab.reproduce.collect import tables_folder
from pgsrm_lab.reproduce.semantic import claim_figures, sheet, stage_runs
from pgsrm_lab.reproduce.semantic.explaining import REAL, TINY, ExplainingProtocol, for_child, for_task
from pgsrm_lab.reproduce.semantic.judging import MEASURES
from pgsrm_lab.reproduce.semantic.mixtures import ARMS
from pgsrm_lab.reproduce.study import Job, Protocol, Run, Study, digest
from pgsrm_lab.reproduce.summary import Results
from pgsrm_lab.tasks import explained_questions, load_task
from pgsrm_lab.tasks.questions.public import PUBLIC_SETS

OWN = "explanations"
FIRST_SEED = 1
"""Seed 0 was what the tiny child's settings were chosen by."""
TASKS: dict[str, Callable[[], Any]] = {
    OWN: explained_questions,
    **{name: functools.partial(stage_runs.task_of, name, "") for name in PUBLIC_SETS},
}


class Semantic(Study):
    """Which reward teaches a child to explain as experts do, and does mixing rewards dilute it?"""

    name: ClassVar = "semantic"
    tasks: ClassVar = TASKS
    arms: ClassVar = ARMS
    measures: ClassVar = MEASURES
    baseline: ClassVar = "sft"
    update: ClassVar = "grpo"

    def plan(
        self, tasks: Sequence[str], arms: Sequence[str], seeds: int, protocol: ExplainingProtocol, out: Path
    ) -> list[Job]:
        """The jobs, seed by seed; the project's own questions and all rewards where none is named.

        Raises:
            SpecError: a task or an arm does not exist.
        """
        self.check(tasks, arms)
        return [
            Job(self, task, arm, self.update, seed, for_task(protocol, task), out)
            for seed in range(FIRST_SEED, FIRST_SEED + seeds)
            for task in tasks or [OWN]
            for arm in arms or self.arms
        ]

    def together(self, protocol: Protocol) -> Sequence[Protocol]:
        """Those of all sets, and of both children where the settings are the study's own."""
        assert isinstance(protocol, ExplainingProtocol)
        own = [for_child(ExplainingProtocol(), child) for child in (TINY, REAL)]
        families = [[for_task(one, task) for one in some for task in TASKS] for some in (own, [protocol])]
        return next(family for family in families if protocol.digest in [one.digest for one in family])

    def task_digest(self, task: str) -> str:
        """Of a task's prompts and answers; of a public set's files."""
        return _task_digest(task)

    def start(self, job: Job, folder: Path) -> None:
        """Continued pre-training and supervised fine-tuning."""
        stage_runs.start(job, folder)

    def train(self, job: Job) -> dict[str, Any]:
        """GRPO on the job's reward, and its answers judged."""
        return stage_runs.train(job)

    def rows(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """The means of each run."""
        return [stage_row(run) for run in runs]

    def pages(self, results: Path, name: str) -> dict[str, str]:
        """One page."""
        return sheet.render(Results.read(self, results), tables_folder(results), name)

    def report(self, out: Path) -> Path:
        """The ratings and the likeness, drawn."""
        return claim_figures.write_report(Results.read(self, out), out)


def stage_row(run: Run) -> dict[str, Any]:
    """A finished run's row of results.parquet."""
    kept = ("task", "arm", "update", "seed", "episodes", "digest", "spec", "child_parameters")
    return {
        **{name: run[name] for name in kept},
        "origin": run.get("origin", ""),
        **run["measures"],
        "cosines": json.dumps(run["cosines"]),
        "seconds": run["seconds"]["total"],
        **{name: json.dumps(run[name]) for name in ("versions", "machine", "settings")},
    }


@functools.cache
def _task_digest(name: str) -> str:
    if name in PUBLIC_SETS:
        files = PUBLIC_SETS[name].files
        return digest([name, stage_runs.LANGUAGES.get(name), sorted(file.sha256 for file in files.values())])
    task = load_task(name)
    return digest([list(task.prompts), dict(task.expert), {p: task.references_of(p) for p in task.prompts}])
