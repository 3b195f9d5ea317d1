"""What scores for the routes: one reward, one micro-batcher, a bounded queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pgsrm_plugin.crosscheck import Use, check_use, problems
from pgsrm_plugin.data.rows import Columns
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.endpoint import show_address
from pgsrm_plugin.errors import DataError, SpecError, UnscorableError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.base import Numbers, Outcome
from pgsrm_plugin.scorer.batching import MicroBatcher
from pgsrm_plugin.scorer.in_process import InProcess, SampleJob
from pgsrm_plugin.serve.dialects.base import Dialect
from pgsrm_plugin.serve.measured import Measured
from pgsrm_plugin.serve.serve_settings import ServeSettings
from pgsrm_plugin.spec import RewardSpec

_MANY = 32
"""Rows that are read in another thread, so that nobody else waits for it."""


class StartingError(Exception):
    """The service does not score yet, or no more."""


class TooManyRowsError(Exception):
    """A question has more rows than are taken at once."""


class Service:
    """Scores questions of all dialects; ready once :meth:`use` was called.

    Args:
        columns: where rows keep what is scored.
    """

    def __init__(self, settings: ServeSettings, columns: Columns) -> None:
        self.settings = settings
        self.stopping = False
        self.under_way = self.bytes_under_way = 0
        self.measured = Measured(lambda: 0 if self._batcher is None else self._batcher.pending)
        self._columns = columns
        self._backend: InProcess | None = None
        self._batcher: MicroBatcher[SampleJob, Outcome] | None = None

    @property
    def state(self) -> str:
        """``starting``, ``ready`` or ``stopping``."""
        return "stopping" if self.stopping else "starting" if self._backend is None else "ready"

    def use(self, reward: SemanticReward) -> None:
        """Scores with a reward from now on."""
        self._backend = InProcess(reward, self._columns)
        self._batcher = MicroBatcher(self._score, self.settings.limits)
        self.measured.about(self._backend.facts())

    def about(self) -> dict[str, Any]:
        """What a run's record should say of the reward; see :class:`~pgsrm_plugin.scorer.facts.RewardFacts`.

        Raises:
            StartingError: it is not known yet.
        """
        backend, _ = self._ready()
        return {**backend.facts().model_dump(), "spec": _shown(backend.reward.spec)}

    async def score(self, dialect: Dialect, document: Mapping[str, Any]) -> list[Numbers]:
        """The numbers of a question's rows.

        Raises:
            StartingError: it is starting or stopping.
            SpecError: the stack cannot use this reward.
            TooManyRowsError: the question is too large.
            QueueFullError: too many rows wait already.
            DeadlineError: it took too long.
            DataError, UnscorableError, ScorerError: as :meth:`pgsrm_plugin.scorer.scorer.Scorer.score_rows`.
        """
        backend, batcher = self._ready()
        for problem in problems(backend.reward.spec, dialect.use):
            raise SpecError(f"{backend.facts().name or 'the spec'}: {problem}")
        rows, columns = dialect.rows(document), self._named(dialect.fields(document))
        if not rows:
            return []
        if len(rows) > self.settings.max_rows:
            raise TooManyRowsError(f"{len(rows)} rows in one question; at most {self.settings.max_rows} (--max-rows)")
        job = await _where(len(rows), lambda: backend.job(rows, dialect.label, columns))
        scored = await batcher.submit(job, len(rows), outside=False)
        if isinstance(scored.value, DataError | UnscorableError):
            raise scored.value
        self.measured.scored([row["reward"] for row in scored.value])
        return scored.value

    def close(self) -> None:
        """Scores no more."""
        if self._batcher is not None:
            self._batcher.close()

    def _ready(self) -> tuple[InProcess, MicroBatcher[SampleJob, Outcome]]:
        if self._backend is None or self._batcher is None or self.stopping:
            raise StartingError(f"the service is {self.state}; ask again")
        return self._backend, self._batcher

    def _named(self, fields: Mapping[str, str]) -> Columns:
        own = self._columns
        reference, truth = fields.get("reference", own.reference), fields.get("ground_truth", own.ground_truth)
        return replace(own, reference=reference, ground_truth=truth) if fields else own

    def _score(self, jobs: Sequence[SampleJob]) -> list[Outcome]:
        assert self._backend is not None
        started = time.perf_counter()
        outcomes = self._backend.score(jobs)
        self.measured.batch(sum(len(job.samples) for job in jobs), time.perf_counter() - started)
        return outcomes


async def _where(rows: int, read: Callable[[], SampleJob]) -> SampleJob:
    return read() if rows <= _MANY else await asyncio.to_thread(read)


def build(spec: RewardSpec) -> SemanticReward:
    """The reward of a spec, its encoder tried with a text: what cannot embed one must not call itself ready.

    Raises:
        SpecError, ScorerError: as :class:`~pgsrm_plugin.reward.SemanticReward`, or the encoder does not work.
    """
    check_use(spec, Use(), spec.name or "the spec")  # what no client could mend
    reward = SemanticReward(spec)
    if reward.encoder is not None:
        CachedEncoder(reward.encoder, limit_mb=0).embed(["Is it ready?"])
    return reward


def _shown(spec: RewardSpec) -> dict[str, Any]:
    """The spec without what an address may hold as a key."""
    shown: dict[str, Any] = spec.model_dump(mode="json")
    encoder = shown.get("encoder")
    if encoder and "base_url" in encoder:
        encoder["base_url"] = show_address(encoder["base_url"])
    return shown
