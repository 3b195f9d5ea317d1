"""Token credit and likelihood as a study."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pgsrm_lab.reproduce.collect import tables_folder
from pgsrm_lab.reproduce.credit import credit_drawing, credit_page, passage_runs
from pgsrm_lab.reproduce.credit.costs import CostRecorder
from pgsrm_lab.reproduce.credit.faults import COST_MEASURES, PASSAGE_MEASURES, costs, passage_row
from pgsrm_lab.reproduce.credit.likelihood_arms import LIKELIHOOD_ARMS
from pgsrm_lab.reproduce.credit.passage_arms import PASSAGE_ARMS, PLAIN
from pgsrm_lab.reproduce.credit.passage_protocol import QUICK_PASSAGES, PassageProtocol
from pgsrm_lab.reproduce.credit.passages import passages
from pgsrm_lab.reproduce.semantic import judging, stage_runs
from pgsrm_lab.reproduce.semantic.explaining import QUICK, REAL, TINY, ExplainingProtocol, for_child
from pgsrm_lab.reproduce.semantic.semantic import FIRST_SEED, OWN, Semantic, stage_row
from pgsrm_lab.reproduce.study import Arm, Job, Protocol, Run, Study, digest
from pgsrm_lab.reproduce.summary import Results
from pgsrm_lab.tasks import explained_questions
from pgsrm_plugin.errors import SpecError

PASSAGES = "passages"
ARMS_OF: Mapping[str, Mapping[str, Arm]] = {PASSAGES: PASSAGE_ARMS, OWN: LIKELIHOOD_ARMS}
"""Each task's."""


def protocols(child: str = TINY, quick: bool = False) -> dict[str, Protocol]:
    """Each task's settings. Only the explanations can be asked of a child that is not tiny."""
    passage, explaining = (QUICK_PASSAGES, QUICK) if quick else (PassageProtocol(), ExplainingProtocol())
    return {PASSAGES: passage, OWN: for_child(explaining, child)}


class CreditStudy(Study):
    """What does a credit add to a reward of whole explanations, and what is the policy's own likelihood worth?"""

    name: ClassVar = "credit"
    tasks: ClassVar = {PASSAGES: passages, OWN: explained_questions}
    arms: ClassVar = {**PASSAGE_ARMS, **LIKELIHOOD_ARMS}
    measures: ClassVar = {**PASSAGE_MEASURES, **judging.MEASURES, **COST_MEASURES}
    baseline: ClassVar = PLAIN
    update: ClassVar = "grpo"

    def plan(
        self, tasks: Sequence[str], arms: Sequence[str], seeds: int, settings: Mapping[str, Protocol], out: Path
    ) -> list[Job]:
        """The jobs, seed by seed; both tasks, and all of their rewards, where none is named.

        Args:
            settings: of each task.

        Raises:
            SpecError: a task or an arm does not exist, or the arms are none of the tasks'.
        """
        self.check(tasks, arms)
        jobs = [
            Job(self, task, arm, self.update, seed, settings[task], out)
            for seed in range(FIRST_SEED, FIRST_SEED + seeds)
            for task in tasks or self.tasks
            for arm in ARMS_OF[task]
            if arm in (arms or ARMS_OF[task])
        ]
        if not jobs:
            there = "; ".join(f"{task}: {', '.join(ARMS_OF[task])}" for task in tasks)
            raise SpecError(f"arms {', '.join(arms)} are none of the task's ({there})")
        return jobs

    def together(self, protocol: Protocol) -> Sequence[Protocol]:
        """Those of both tasks, and of both children, where the settings are the study's own."""
        families = [[*protocols(TINY, quick).values(), protocols(REAL, quick)[OWN]] for quick in (False, True)]
        return next((one for one in families if protocol.digest in [p.digest for p in one]), [protocol])

    def task_digest(self, task: str) -> str:
        """Of the passages' sentences; of the questions and their explanations."""
        return _passages_digest() if task == PASSAGES else Semantic().task_digest(task)

    def start(self, job: Job, folder: Path) -> None:
        """A child each of whose sentences is wrong now and then; the semantic study's two supervised stages."""
        (passage_runs.passage_start if job.task == PASSAGES else stage_runs.start)(job, folder)

    def train(self, job: Job) -> dict[str, Any]:
        """GRPO on the job's reward."""
        return passage_runs.passage_train(job) if job.task == PASSAGES else stage_runs.train(job, CostRecorder)

    def rows(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """The numbers of each run; None where a task has no such number."""
        found = [passage_row(run) if run["task"] == PASSAGES else {**stage_row(run), **costs(run)} for run in runs]
        columns = {**dict.fromkeys(name for row in found for name in row), **dict.fromkeys(self.measures)}
        return [{**columns, **row} for row in found]

    def pages(self, results: Path, name: str) -> dict[str, str]:
        """One page."""
        return credit_page.render(Results.read(self, results), tables_folder(results), name)

    def report(self, out: Path) -> Path:
        """A figure a question."""
        return credit_drawing.write_report(Results.read(self, out), out)


@functools.cache
def _passages_digest() -> str:
    return digest([dataclasses.asdict(one) for one in passages()])
