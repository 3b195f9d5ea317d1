"""Concurrent single rewards, scored together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from pgsrm_plugin.errors import PgsrmError, ScorerError
from pgsrm_verl.settings import MicroBatchSettings

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Scored(Generic[Result]):
    """One row's result, with what the batching did to it.

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
    future: asyncio.Future[Scored[Result]]
    arrived: float


class MicroBatcher(Generic[Item, Result]):
    """Puts concurrent calls of one event loop together and scores them in a thread, one batch at a time.

    A batch starts when ``max_rows`` are there or the first has waited ``max_wait_ms``; rows that arrive while a batch
    is being scored form the next one. At most ``max_pending`` rows are waiting or being scored: further calls of
    :meth:`submit` wait their turn outside. A row whose caller gave up before its batch started is not scored.

    Args:
        score: gets the rows of a batch in order of arrival, returns as many results. Never called concurrently.
        limits: the bounds named above, and the deadline.
    """

    def __init__(self, score: Callable[[Sequence[Item]], Sequence[Result]], limits: MicroBatchSettings) -> None:
        self._score = score
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pgsrm-score")
        self._waiting: deque[_Entry[Item, Result]] = deque()
        self._room = asyncio.Semaphore(limits.max_pending)
        self._full = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Scored[Result]:
        """The result of one row.

        Raises:
            ScorerError: its batch failed, or ``deadline_s`` passed since the call.
            PgsrmError: what else of this package's errors ``score`` raised.
        """
        try:
            return await asyncio.wait_for(self._submit(item), self._limits.deadline_s)
        except asyncio.TimeoutError:
            raise ScorerError(
                f"a response was not scored within micro_batch.deadline_s: {self._limits.deadline_s:g} "
                f"({len(self._waiting)} rows wait for a batch); the encoder is too slow, or does not answer"
            ) from None

    def close(self) -> None:
        """Lets the thread end once its batch is done; the batcher is of no use afterwards."""
        self._thread.shutdown(wait=False)

    async def _submit(self, item: Item) -> Scored[Result]:
        arrived = time.monotonic()
        async with self._room:
            future: asyncio.Future[Scored[Result]] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Entry(item, future, arrived))
            if len(self._waiting) >= self._limits.max_rows:
                self._full.set()
            if self._worker is None:
                self._worker = asyncio.create_task(self._work())
            return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._wait_for_more()
                batch = self._take()
                if batch:
                    await self._run(batch)
        finally:
            self._worker = None

    async def _wait_for_more(self) -> None:
        rest = self._waiting[0].arrived + self._limits.max_wait_ms / 1000 - time.monotonic()
        if rest > 0 and len(self._waiting) < self._limits.max_rows:
            self._full.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._full.wait(), rest)

    def _take(self) -> list[_Entry[Item, Result]]:
        batch: list[_Entry[Item, Result]] = []
        while self._waiting and len(batch) < self._limits.max_rows:
            entry = self._waiting.popleft()
            if not entry.future.done():
                batch.append(entry)
        return batch

    async def _run(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        started = time.monotonic()
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._thread, self._call, batch)
        except PgsrmError as error:
            logger.error("%d responses could not be scored: %s", len(batch), error)
            for entry in batch:
                if not entry.future.done():
                    entry.future.set_exception(error)
            return
        score_ms = 1000 * (time.monotonic() - started)
        for entry, result in zip(batch, results, strict=True):
            if not entry.future.done():
                queue_ms = 1000 * (started - entry.arrived)
                entry.future.set_result(Scored(result, len(batch), queue_ms, score_ms))

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
