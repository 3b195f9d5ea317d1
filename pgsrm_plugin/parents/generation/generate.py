"""Asks a parent what a store lacks, and keeps each answer the moment it is there."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Collection, Coroutine, Iterable, Sequence
from typing import Any

from pgsrm_plugin.asking.engines.base import AnyEngine, AsyncEngine, BatchEngine
from pgsrm_plugin.asking.fault_isolation import complete_batch, complete_one
from pgsrm_plugin.asking.store.answers import Answer, Request
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.errors import ScorerError
from pgsrm_plugin.parents.generation.graceful_shutdown import on_stop_signal
from pgsrm_plugin.parents.generation.group_commit import GroupCommit
from pgsrm_plugin.parents.generation.progress import OnProgress, RunCounts, RunLimits
from pgsrm_plugin.parents.generation.request_queue import RequestQueue

AFTER_SIGNAL_S = 3.0
"""Seconds that calls in flight get after Ctrl-C or SIGTERM, if ``limits.drain_s`` is not less."""
_LOOKS_AT_A_TIME = 256


def generate(
    requests: Iterable[Request],
    engine: AnyEngine,
    store: ParentStore,
    *,
    limits: RunLimits | None = None,
    retry: Collection[str] = (),
    on_progress: OnProgress | None = None,
) -> RunCounts:
    """Asks every request that the store has no answer for; memory does not grow with their number.

    An answer is in the store, durably, before its place in flight is given to another request: killed at any moment,
    the next run asks again at most what was in flight. A call that fails is recorded as failed and the run goes on;
    Ctrl-C and SIGTERM (in the main thread) let the calls in flight finish, for :data:`AFTER_SIGNAL_S` at most, or a
    batch to its end, and return; a second one ends the run at once.

    Args:
        requests: an iterator will do; it is read as places in flight become free.
        retry: the statuses of recorded answers that are asked again, e.g. ``FAILURES``.
        on_progress: called with the counts after answers were stored; keep it short.

    Raises:
        ScorerError: the parent as a whole is of no use, or too many calls in a row failed.
        StoreError: an answer could not be written.
        SpecError: the extraction rule is wrong.
    """
    limits = limits or RunLimits()
    queue = RequestQueue(requests, engine, store, limits, retry)
    report = on_progress or (lambda counts: None)
    if isinstance(engine, BatchEngine):
        with on_stop_signal(lambda: queue.stop("interrupted")):
            _generate_batches(queue, engine, store, report)
    else:
        _run(_generate_async(queue, engine, store, limits, report))
    report(queue.counts)
    return queue.counts


def _generate_batches(queue: RequestQueue, engine: BatchEngine, store: ParentStore, report: OnProgress) -> None:
    while batch := _take(queue, store, engine.batch_size):
        try:
            completions = complete_batch(engine, batch)
        except ScorerError:
            # Ctrl-C reaches an engine's own processes too: the batch is lost, and that is no error.
            if queue.counts.stopped == "interrupted":
                return
            raise
        answers = [queue.answer(request, completion) for request, completion in zip(batch, completions, strict=True)]
        store.extend(answers)
        try:
            for answer in answers:
                queue.stored(answer)
        finally:
            report(queue.counts)


def _take(queue: RequestQueue, store: ParentStore, size: int) -> list[Request]:
    batch: list[Request] = []
    with contextlib.suppress(StopIteration):
        while len(batch) < size:
            found = queue.look()
            if isinstance(found, Answer):
                store.append(found)
                queue.stored(found)
            elif found is not None:
                batch.append(found)
    return batch


async def _generate_async(
    queue: RequestQueue, engine: AsyncEngine, store: ParentStore, limits: RunLimits, report: OnProgress
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        queue.stop("interrupted")
        loop.call_soon_threadsafe(stopped.set)

    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(on_stop_signal(stop))
        stack.push_async_callback(engine.aclose)
        commits = await stack.enter_async_context(GroupCommit(store, queue, report))
        workers = [asyncio.create_task(_worker(queue, engine, commits)) for _ in range(engine.concurrency)]
        bell = asyncio.create_task(stopped.wait())
        try:
            await _until_done(workers, bell, queue, limits)
        finally:
            await _cancel([*workers, bell])
        for worker in workers:
            if not worker.cancelled() and (error := worker.exception()):
                raise error


async def _worker(queue: RequestQueue, engine: AsyncEngine, commits: GroupCommit) -> None:
    looks = 0
    while True:
        try:
            found = queue.look()
        except StopIteration:
            return
        looks += 1
        if isinstance(found, Request):
            found = queue.answer(found, await complete_one(engine, found))
        if found is not None:
            await commits.write(found)
        elif looks % _LOOKS_AT_A_TIME == 0:
            await asyncio.sleep(0)


async def _until_done(
    workers: Sequence[asyncio.Task[None]], bell: asyncio.Task[Any], queue: RequestQueue, limits: RunLimits
) -> None:
    """Returns when all workers are through, or the time is up that they get after a stop, deadline or error."""
    everything = asyncio.gather(*workers)
    everything.add_done_callback(lambda future: future.cancelled() or future.exception())
    # Not everything itself: to cancel it would cancel the workers.
    await asyncio.wait([everything, bell], timeout=queue.left_s(), return_when=asyncio.FIRST_COMPLETED)
    if not all(worker.done() for worker in workers):
        queue.stop("error" if everything.done() else "deadline")
        interrupted = queue.counts.stopped == "interrupted"
        await asyncio.wait(workers, timeout=min(limits.drain_s, AFTER_SIGNAL_S) if interrupted else limits.drain_s)


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    tasks = [task for task in tasks if not task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs it to its end, also where a loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(coroutine)
        return
    failure: list[BaseException] = []

    def target() -> None:
        try:
            asyncio.run(coroutine)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=target, name="pgsrm-parent")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
