"""The composition study: three terms that pull apart, made one reward in every way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pgsrm_lab.reproduce.collect import tables_folder
from pgsrm_lab.reproduce.composition import composition_page as page
from pgsrm_lab.reproduce.composition.outcomes import MEASURES, row_of
from pgsrm_lab.reproduce.composition.ways import ARMS, LEARNED
from pgsrm_lab.reproduce.guards import grpo_runs
from pgsrm_lab.reproduce.guards.guards import Guards
from pgsrm_lab.reproduce.guards.protocol import GuardsProtocol
from pgsrm_lab.reproduce.study import Job, Run
from pgsrm_lab.reproduce.summary import Results
from pgsrm_lab.tasks.statements import negations
from pgsrm_lab.tiny import Size
from pgsrm_lightning.config import LearnedWeightsConfig


class Composition(Guards):
    """What does a child learn from the same three terms with the same weights, by how they are composed?"""

    name: ClassVar = "composition"
    tasks: ClassVar = {"negations": negations}
    arms: ClassVar = ARMS
    measures: ClassVar = MEASURES
    baseline: ClassVar = "sum"

    def train(self, job: Job) -> dict[str, Any]:
        """GRPO on the job's reward; in the arm of that name with learned weights."""
        grpo = grpo_runs.protocol_of(job).grpo
        if job.arm == LEARNED:
            grpo = dataclasses.replace(grpo, weights=LearnedWeightsConfig(lr=1.0, every=1))
        return grpo_runs.train(job, grpo)

    def rows(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """What answers a child gives at the end, and what each term says of them."""
        return [row_of(run) for run in runs]

    def pages(self, results: Path, name: str) -> dict[str, str]:
        """One page."""
        return page.render(Results.read(self, results), tables_folder(results), name)

    def report(self, out: Path) -> Path:
        """The page's tables as report.html."""
        return page.write_report(Results.read(self, out), out)


PROTOCOL = GuardsProtocol(
    size=Size(layers=1, width=48), goal=0.9, odds=0.05, steps=48, prompts_per_step=8, validate_every=12
)
"""A child and a run that are small enough for 50 runs within a quarter of an hour on one core."""
