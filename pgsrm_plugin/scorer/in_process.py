"""Rewards computed in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgsrm_plugin.crosscheck import Use, check_use
from pgsrm_plugin.data.faults import Faults
from pgsrm_plugin.data.rows import Columns, parse_row
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.base import Numbers, Outcome, each_alone
from pgsrm_plugin.scorer.facts import RewardFacts
from pgsrm_plugin.scorer.row_numbers import row_numbers
from pgsrm_plugin.types import RewardSample
from pgsrm_plugin.validate import judges_truth


@dataclass(frozen=True)
class SampleJob:
    """One caller's samples, and how its rows are called in messages."""

    samples: Sequence[RewardSample]
    label: Callable[[int], str]


class InProcess:
    """Scores with a reward of this process; :meth:`score` is never called concurrently.

    Raises:
        SpecError: the reward asks the policy, and rows are only texts.
    """

    def __init__(self, reward: SemanticReward, columns: Columns) -> None:
        check_use(reward.spec, Use(), reward.spec.name or "the spec")
        self.reward = reward
        self._columns = columns
        self._judged = judges_truth(reward.spec)
        self._facts = RewardFacts.of(reward)

    def facts(self) -> RewardFacts:
        """See :class:`~pgsrm_plugin.scorer.base.Backend`."""
        return self._facts

    def job(
        self, rows: Sequence[Mapping[str, Any]], label: Callable[[int], str], columns: Columns | None = None
    ) -> SampleJob:
        """The samples of rows, as ``columns`` say, if they are given, else as the scorer's own.

        Raises:
            DataError: rows cannot be read; the message names the first of them.
        """
        faults, samples = Faults(), []
        for i, row in enumerate(rows):
            with faults.collect():
                samples.append(self._sample(row, label(i), columns or self._columns))
        faults.check()
        return SampleJob(samples, label)

    def _sample(self, row: Mapping[str, Any], label: str, columns: Columns) -> RewardSample:
        if not isinstance(row, Mapping):
            raise DataError(f"{label} must be an object with prompt, response and reference, not {type(row).__name__}")
        records = parse_row(row, label, columns=columns, judged=self._judged)
        if len(records) > 1:
            raise DataError(f"{label}: field 'responses' holds {len(records)}; give each a row of its own")
        return records[0].sample()

    def score(self, jobs: Sequence[SampleJob]) -> list[Outcome]:
        """See :class:`~pgsrm_plugin.scorer.base.Backend`."""
        if self.reward.spec.needs_groups:  # over the whole of what one caller gave
            return [outcome for job in jobs for outcome in each_alone([job], self._score_together)]
        return each_alone(jobs, self._score_together)

    def _score_together(self, jobs: Sequence[SampleJob]) -> list[Outcome]:
        samples = [sample for job in jobs for sample in job.samples]
        output = self.reward.score(samples, jobs[0].label)
        numbers: list[Numbers] = list(map(_masked, row_numbers(output, samples, self.reward.spec)))
        rows = iter(numbers)
        return [[next(rows) for _ in job.samples] for job in jobs]

    def close(self) -> None:
        """Nothing is held that would have to be let go."""


def _masked(row: dict[str, float]) -> Numbers:
    return {**row, "reward": row["reward"] if row["reward/scored"] else None}
