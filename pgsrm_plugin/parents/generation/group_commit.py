"""Hands answers to the store in groups, beside the event loop."""

from __future__ import annotations

import asyncio
from types import TracebackType

from pgsrm_plugin.asking.store.answers import Answer
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.parents.generation.progress import OnProgress
from pgsrm_plugin.parents.generation.request_queue import RequestQueue


class GroupCommit:
    """Stores the answers that came during one sync of the disk together in the next, in another thread."""

    def __init__(self, store: ParentStore, queue: RequestQueue, report: OnProgress) -> None:
        self._store = store
        self._queue = queue
        self._report = report
        self._waiting: list[tuple[Answer, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> GroupCommit:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits until all that was handed over is stored."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])

    async def write(self, answer: Answer) -> None:
        """Returns when the answer is on the disk. An answer that was handed over is stored, whoever stops waiting.

        Raises:
            StoreError: it could not be written.
            ScorerError: too many calls in a row failed; it is stored nevertheless.
        """
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, stored))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        await stored

    async def _write_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._store.extend, [answer for answer, _ in group])
            except Exception as error:
                _settle([stored for _, stored in group], error)
                continue
            for answer, stored in group:
                try:
                    self._queue.stored(answer)
                    _settle([stored], None)
                except Exception as error:
                    _settle([stored], error)
            self._report(self._queue.counts)


def _settle(futures: list[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
