"""What a run of generation has yet to ask."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from pgsrm_plugin.asking.answer_extraction import build_extractor
from pgsrm_plugin.asking.engines.base import AnyEngine, Completion
from pgsrm_plugin.asking.outcome import extract_again, make_answer
from pgsrm_plugin.asking.store.answers import Answer, Request
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.errors import ScorerError
from pgsrm_plugin.parents.generation.progress import RunCounts, RunLimits


class RequestQueue:
    """The requests that a store lacks, one at a time, and the account of what became of them.

    Args:
        retry: the statuses that are asked again, of what the store has; none as a rule.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        engine: AnyEngine,
        store: ParentStore,
        limits: RunLimits,
        retry: Collection[str],
    ) -> None:
        self.counts = RunCounts()
        self._requests = iter(requests)
        self._engine = engine
        self._store = store
        self._limits = limits
        self._retry = frozenset(retry)
        self._extract = build_extractor(engine.config.extract, engine.config.sampling.stop)
        self._under_way: set[str] = set()
        self._failed_in_a_row = 0
        self._started = time.monotonic()

    @property
    def stopping(self) -> bool:
        """Whether no further request begins."""
        deadline = self._limits.deadline_s
        if self.counts.stopped is None and deadline is not None and time.monotonic() - self._started >= deadline:
            self.counts.stopped = "deadline"
        return self.counts.stopped is not None

    def stop(self, reason: str) -> None:
        self.counts.stopped = self.counts.stopped or reason

    def left_s(self) -> float | None:
        """Seconds until the deadline."""
        deadline = self._limits.deadline_s
        return None if deadline is None else max(0.0, self._started + deadline - time.monotonic())

    def look(self) -> Request | Answer | None:
        """The next of what there is to do: a request to ask, an answer to store; None for a request that needs nothing.

        Raises:
            StopIteration: there is nothing left, or the run is stopping.
        """
        if self.stopping:
            raise StopIteration
        request = next(self._requests)
        self.counts.seen += 1
        config = self._engine.config
        key = request.key(config)
        status = self._store.status(key)
        if key in self._under_way or (status is not None and status not in self._retry):
            self.counts.reused += 1
            return None
        earlier = self._store.by_call(request.call(config)) if status is None else None
        if earlier is not None:
            self.counts.extracted_again += 1
            self._under_way.add(key)
            return extract_again(request, config, earlier, self._extract)
        self._under_way.add(key)
        return request

    def answer(self, request: Request, completion: Completion) -> Answer:
        """The record of a finished call."""
        return make_answer(request, self._engine.config, completion, self._extract, self._engine.settings)

    def stored(self, answer: Answer) -> None:
        """Takes note of an answer that is in the store.

        Raises:
            ScorerError: too many calls in a row failed.
        """
        self._under_way.discard(answer.key)
        counts = self.counts
        counts.seconds = time.monotonic() - self._started
        if not answer.attempts:
            return
        counts.asked += 1
        counts.by_status[answer.status] += 1
        counts.attempts += answer.attempts
        counts.prompt_tokens += answer.prompt_tokens or 0
        counts.completion_tokens += answer.completion_tokens or 0
        self._failed_in_a_row = self._failed_in_a_row + 1 if answer.status == "failed" else 0
        if self._failed_in_a_row >= self._limits.failures_in_a_row:
            again = "ask them again (`pgsrm parent retry-failed`)"
            if answer.permanent:
                again = "generate with other settings; the same requests would fail the same"
            raise ScorerError(
                f"{self._failed_in_a_row} calls in a row failed, the last with: {answer.error}; the run was stopped. "
                f"They are recorded as failures; mend the cause, then {again}"
            )
