"""Concurrent small questions, scored together."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import Field

from pgsrm_plugin.errors import PgsrmError, ScorerError
from pgsrm_plugin.section import Section

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


class MicroBatchSettings(Section):
    """How concurrent rewards are put together."""

    max_rows: int = Field(256, ge=1, description="rows scored at once")
    max_wait_ms: float = Field(10.0, ge=0, description="how long the first row waits for others")
    max_pending: int = Field(4096, ge=1, description="rows waiting or being scored; further ones wait outside")
    deadline_s: float = Field(120.0, gt=0, description="from the arrival of a row to its reward")


class QueueFullError(ScorerError):
    """More rows wait than are let in, and the caller did not want to wait outside."""


class DeadlineError(ScorerError):
    """The deadline passed before there was a result."""


@dataclass(frozen=True)
class Scored(Generic[Result]):
    """One item's result, with what the batching did to it.

    Attributes:
        batch_rows: rows of the batch it was scored in.
        queue_ms: from its arrival to the start of its batch.
        score_ms: duration of its batch.
    """

    value: Result
    batch_rows: int
    queue_ms: float
    score_ms: float


@dataclass(frozen=True)
class _Entry(Generic[Item, Result]):
    item: Item
    rows: int
    future: Future[Scored[Result]]
    arrived: float


class MicroBatcher(Generic[Item, Result]):
    """Puts concurrent calls together, of any threads and event loops, and scores them in a thread of its own.

    A batch starts when ``max_rows`` are there or the first has waited ``max_wait_ms``; rows that arrive while a batch
    is being scored form the next one. At most ``max_pending`` rows are waiting or being scored: further ones wait their
    turn outside. An item whose caller gave up before its batch started is not scored.

    Args:
        score: gets the items of a batch in order of arrival, returns as many results.
        limits: the bounds named above, and the deadline.
        threads: how many batches are scored at once.
        deadline: what messages call the setting of the deadline.
    """

    def __init__(
        self,
        score: Callable[[Sequence[Item]], Sequence[Result]],
        limits: MicroBatchSettings,
        threads: int = 1,
        deadline: str = "deadline_s",
    ) -> None:
        self._score = score
        self._limits = limits
        self._deadline = deadline
        self._most = threads
        # A pool, and no thread per batch: OpenMP keeps its own threads for each thread that ever asked it to work.
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="pgsrm-score")
        self._changed = threading.Condition()
        self._waiting: deque[_Entry[Item, Result]] = deque()
        self._outside: deque[_Entry[Item, Result]] = deque()
        self._rows_waiting = self._rows_inside = self._working = 0

    @property
    def pending(self) -> int:
        """Rows waiting or being scored, those outside not counted."""
        return self._rows_inside

    async def submit(self, item: Item, rows: int = 1, *, outside: bool = True) -> Scored[Result]:
        """The result of one item.

        Args:
            rows: how many rows it is.
            outside: whether to wait where there is no room inside.

        Raises:
            DeadlineError: ``deadline_s`` passed since the call.
            QueueFullError: there is no room, and it shall not wait outside.
            ScorerError: its batch failed.
            PgsrmError: what else of this package's errors ``score`` raised.
        """
        future = asyncio.wrap_future(self._enter(item, rows, outside))
        try:
            return await asyncio.wait_for(future, self._limits.deadline_s)
        except asyncio.TimeoutError:
            raise self._late() from None

    def submit_and_wait(self, item: Item, rows: int = 1) -> Scored[Result]:
        """As :meth:`submit`, for a thread without an event loop."""
        future = self._enter(item, rows, outside=True)
        try:
            return future.result(self._limits.deadline_s)
        except concurrent.futures.TimeoutError:
            raise self._late() from None
        finally:
            future.cancel()

    def close(self) -> None:
        """Lets the threads end once their batches are done; the batcher is of no use afterwards."""
        self._threads.shutdown(wait=False)

    def _late(self) -> DeadlineError:
        return DeadlineError(
            f"a response was not scored within {self._deadline}: {self._limits.deadline_s:g} "
            f"({self._rows_waiting} rows wait for a batch); the encoder is too slow, or does not answer"
        )

    def _enter(self, item: Item, rows: int, outside: bool) -> Future[Scored[Result]]:
        entry: _Entry[Item, Result] = _Entry(item, rows, Future(), time.monotonic())
        with self._changed:
            if not outside and not self._has_room(rows):
                raise QueueFullError(f"{self._rows_inside} rows are waiting or being scored, and no more are let in")
            self._outside.append(entry)
            self._let_in()
            if self._working < self._most and self._waiting:
                self._working += 1
                self._threads.submit(self._work)
            elif self._rows_waiting >= self._limits.max_rows:
                self._changed.notify()
        return entry.future

    def _has_room(self, rows: int) -> bool:
        # One item larger than the bound is let in alone, or it would never be.
        return not self._rows_inside or self._rows_inside + rows <= self._limits.max_pending

    def _let_in(self) -> None:
        while self._outside and self._has_room(self._outside[0].rows):
            entry = self._outside.popleft()
            if not entry.future.cancelled():
                self._waiting.append(entry)
                self._rows_waiting += entry.rows
                self._rows_inside += entry.rows

    def _work(self) -> None:
        while batch := self._next():
            self._run(batch)

    def _next(self) -> list[_Entry[Item, Result]]:
        with self._changed:
            while self._waiting:
                self._wait_for_more()
                if batch := self._take():
                    return batch
            self._working -= 1
        return []

    def _wait_for_more(self) -> None:
        while self._waiting and self._rows_waiting < self._limits.max_rows:
            rest = self._waiting[0].arrived + self._limits.max_wait_ms / 1000 - time.monotonic()
            if rest <= 0:
                return
            self._changed.wait(rest)

    def _take(self) -> list[_Entry[Item, Result]]:
        batch: list[_Entry[Item, Result]] = []
        rows = 0
        while self._waiting and (not batch or rows + self._waiting[0].rows <= self._limits.max_rows):
            entry = self._waiting.popleft()
            self._rows_waiting -= entry.rows
            if entry.future.set_running_or_notify_cancel():
                batch.append(entry)
                rows += entry.rows
            else:
                self._leave(entry.rows)
        return batch

    def _leave(self, rows: int) -> None:
        self._rows_inside -= rows
        self._let_in()

    def _run(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        started, rows = time.monotonic(), sum(entry.rows for entry in batch)
        results: Sequence[Result] | PgsrmError
        try:
            results = self._call(batch)
        except PgsrmError as error:
            logger.error("%d responses could not be scored: %s", rows, error)
            results = error
        score_ms = 1000 * (time.monotonic() - started)
        with self._changed:  # before the callers hear: who asks again at once finds room
            self._leave(rows)
        for i, entry in enumerate(batch):
            if isinstance(results, PgsrmError):
                entry.future.set_exception(results)
            else:
                queue_ms = 1000 * (started - entry.arrived)
                entry.future.set_result(Scored(results[i], rows, queue_ms, score_ms))

    def _call(self, batch: Sequence[_Entry[Item, Result]]) -> Sequence[Result]:
        try:
            results = self._score([entry.item for entry in batch])
        except PgsrmError:
            raise
        except Exception as error:
            raise ScorerError(f"scoring failed: {type(error).__name__}: {error}") from error
        if len(results) != len(batch):
            raise ScorerError(f"scoring returned {len(results)} results for {len(batch)} rows")
        return results
