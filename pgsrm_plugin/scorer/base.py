"""What both ways to score have in common, in this process and over HTTP: jobs in, numbers or errors out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pgsrm_plugin.errors import DataError, UnscorableError
from pgsrm_plugin.scorer.facts import RewardFacts

Numbers = dict[str, float | None]
"""A row's numbers; only ``reward`` may be None, where the row is masked."""
Outcome = list[Numbers] | DataError | UnscorableError
"""The rows of one job, or what is wrong with its data."""
Job = TypeVar("Job")


class Backend(Protocol[Job]):
    """Scores several callers' jobs at once."""

    def facts(self) -> RewardFacts:
        """What the reward says of itself.

        Raises:
            ScorerError: it cannot be asked.
        """

    def job(self, rows: Sequence[Mapping[str, Any]], label: Callable[[int], str]) -> Job:
        """A caller's rows, read in the caller's thread.

        Raises:
            DataError: they cannot be read.
            ScorerError: it is not known what of them is needed.
        """

    def score(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcome of each job.

        Raises:
            ScorerError: nothing was scored.
        """

    def close(self) -> None:
        """Lets go of what it holds."""


def each_alone(jobs: Sequence[Job], score: Callable[[Sequence[Job]], list[Outcome]]) -> list[Outcome]:
    """The outcome of each job, where one with bad data spoils only its own: halves are scored until it is found.

    Args:
        score: of some jobs at once; raises DataError or UnscorableError if any of them is bad.
    """
    try:
        return score(jobs)
    except (DataError, UnscorableError) as error:
        if len(jobs) == 1:
            return [error]
    half = len(jobs) // 2
    return each_alone(jobs[:half], score) + each_alone(jobs[half:], score)
