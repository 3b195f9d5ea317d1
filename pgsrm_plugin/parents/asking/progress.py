"""What a run of generation may take, what it has done, and what it has yet to ask."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from pgsrm_plugin.errors import ScorerError
from pgsrm_plugin.parents.asking.outcome import extract_again, make_answer
from pgsrm_plugin.parents.engines.base import AnyEngine, Completion
from pgsrm_plugin.parents.export.answer_extraction import build_extractor
from pgsrm_plugin.parents.store.answers import Answer, Request
from pgsrm_plugin.parents.store.store import ParentStore


@dataclass(frozen=True)
class Limits:
    """The bounds of a run.

    Attributes:
        deadline_s: seconds after which no further request begins; None: no end.
        drain_s: seconds that requests under way get to finish when the run is stopped.
        failures_in_a_row: after so many calls that failed with none between that did not, the run stops.
    """

    deadline_s: float | None = None
    drain_s: float = 30.0
    failures_in_a_row: int = 20


@dataclass
class Tally:
    """How far a run is; updated while it goes.

    Attributes:
        seen: requests looked at.
        reused: of these, already in the store, or asked twice in this run.
        extracted_again: of these, answered before under another extraction rule.
        asked: calls that were answered or failed; their statuses are in ``by_status``.
        attempts: how often the engine was asked, retries included.
        prompt_tokens, completion_tokens: as far as the engine counted them.
        seconds: since the run began.
        stopped: ``"interrupted"``, ``"deadline"``, or None where all was done.
    """

    seen: int = 0
    reused: int = 0
    extracted_again: int = 0
    asked: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    stopped: str | None = None


OnProgress = Callable[[Tally], None]


class Worklist:
    """The requests that a store lacks, one at a time, and the account of what became of them.

    Args:
        retry: the statuses that are asked again, of what the store has; none as a rule.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        engine: AnyEngine,
        store: ParentStore,
        limits: Limits,
        retry: Collection[str],
    ) -> None:
        self.tally = Tally()
        self._requests = iter(requests)
        self._engine = engine
        self._store = store
        self._limits = limits
        self._retry = frozenset(retry)
        self._extract = build_extractor(engine.config.extract)
        self._under_way: set[str] = set()
        self._failed_in_a_row = 0
        self._started = time.monotonic()

    @property
    def stopping(self) -> bool:
        """Whether no further request begins."""
        deadline = self._limits.deadline_s
        if self.tally.stopped is None and deadline is not None and time.monotonic() - self._started >= deadline:
            self.tally.stopped = "deadline"
        return self.tally.stopped is not None

    def stop(self, reason: str) -> None:
        self.tally.stopped = self.tally.stopped or reason

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
        self.tally.seen += 1
        config = self._engine.config
        key = request.key(config)
        status = self._store.status(key)
        if key in self._under_way or (status is not None and status not in self._retry):
            self.tally.reused += 1
            return None
        earlier = self._store.by_call(request.call(config)) if status is None else None
        if earlier is not None:
            self.tally.extracted_again += 1
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
        tally = self.tally
        tally.seconds = time.monotonic() - self._started
        if not answer.attempts:
            return
        tally.asked += 1
        tally.by_status[answer.status] += 1
        tally.attempts += answer.attempts
        tally.prompt_tokens += answer.prompt_tokens or 0
        tally.completion_tokens += answer.completion_tokens or 0
        self._failed_in_a_row = self._failed_in_a_row + 1 if answer.status == "failed" else 0
        if self._failed_in_a_row >= self._limits.failures_in_a_row:
            raise ScorerError(
                f"{self._failed_in_a_row} calls in a row failed, the last with: {answer.error}; the run was stopped. "
                "They are recorded as failures; mend the cause, then ask them again (`pgsrm parent retry-failed`)"
            )
