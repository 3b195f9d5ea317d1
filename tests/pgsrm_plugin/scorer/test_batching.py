"""The micro-batcher: order, exactness, bounds, deadlines, and nobody harmed by another's failure."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.batching import DeadlineError, MicroBatcher, MicroBatchSettings, QueueFullError
from pgsrm_plugin.spec import parse_spec
from pgsrm_plugin.types import RewardSample


class Recorder:
    """Doubles numbers, and keeps each batch; ``before`` is called with it first, in the scoring thread."""

    def __init__(self, before: Callable[[list[int]], None] = lambda batch: None) -> None:
        self.batches: list[list[int]] = []
        self.inside = 0
        self._before = before

    def __call__(self, batch: Sequence[int]) -> list[int]:
        self.inside += 1
        assert self.inside == 1, "two batches are scored at once"
        try:
            self.batches.append(list(batch))
            self._before(list(batch))
            return [2 * number for number in batch]
        finally:
            self.inside -= 1

    @property
    def scored(self) -> Counter:
        return Counter(number for batch in self.batches for number in batch)


def limits(**changes) -> MicroBatchSettings:
    return MicroBatchSettings(**{"max_wait_ms": 5, "deadline_s": 20, **changes})


async def values(batcher: MicroBatcher, items) -> list:
    return [scored.value for scored in await asyncio.gather(*map(batcher.submit, items))]


@given(
    waves=st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=4),
    max_rows=st.integers(1, 7),
    max_pending=st.integers(1, 20),
    max_wait_ms=st.sampled_from([0, 1]),
)
@settings(max_examples=60, deadline=None)
def test_every_call_gets_its_own_result_and_every_item_is_scored_once(waves, max_rows, max_pending, max_wait_ms):
    score = Recorder()
    batcher = MicroBatcher(score, limits(max_rows=max_rows, max_pending=max_pending, max_wait_ms=max_wait_ms))

    async def run() -> None:
        running = []
        for wave in waves:
            running.append(asyncio.ensure_future(values(batcher, wave)))
            await asyncio.sleep(0)
        for wave, got in zip(waves, running, strict=True):
            assert await got == [2 * number for number in wave]

    asyncio.run(run())
    assert score.scored == Counter(number for wave in waves for number in wave)
    assert all(len(batch) <= min(max_rows, max_pending) for batch in score.batches)
    batcher.close()


REWARD = """
encoder: {kind: hashing}
terms: {semantic: {}, repetition: {}, format: {tags: [a]}}
weights: {semantic: 1.0, repetition: -0.3, format: 0.2}
cache_mb: %s
"""
TEXTS = ("<a>red</a>", "blue blue blue", "", "red", "violet is blue and red")


@given(
    rows=st.lists(st.tuples(st.sampled_from(TEXTS), st.sampled_from(("red", "violet"))), min_size=1, max_size=25),
    max_rows=st.integers(1, 8),
)
@settings(max_examples=25, deadline=None)
def test_rewards_are_those_of_one_direct_score(rows, max_rows):
    samples = [RewardSample("q", response, (reference,)) for response, reference in rows]
    direct = SemanticReward(parse_spec(REWARD % 0)).score(samples).total_B.tolist()
    reward = SemanticReward(parse_spec(REWARD % 64))
    batcher = MicroBatcher(lambda batch: reward.score(batch).total_B.tolist(), limits(max_rows=max_rows))
    batched = asyncio.run(values(batcher, samples))
    assert batched == pytest.approx(direct, abs=1e-12)
    by_row: dict = {}
    for row, value in zip(rows, batched, strict=True):
        assert by_row.setdefault(row, value) == value  # bit-identical across micro-batches
    batcher.close()


def test_a_batch_starts_when_it_is_full_and_otherwise_after_the_wait():
    score = Recorder()
    batcher = MicroBatcher(score, limits(max_rows=3, max_wait_ms=60_000))
    assert asyncio.run(values(batcher, [1, 2, 3])) == [2, 4, 6]
    assert score.batches == [[1, 2, 3]]
    batcher = MicroBatcher(score, limits(max_rows=100, max_wait_ms=100))
    assert asyncio.run(values(batcher, [4, 5])) == [8, 10]
    assert score.batches[1:] == [[4, 5]]


def test_what_the_batching_did_is_told():
    batcher = MicroBatcher(Recorder(), limits(max_rows=2, max_wait_ms=60_000))

    async def run():
        return await asyncio.gather(*map(batcher.submit, [1, 2]))

    first, second = asyncio.run(run())
    assert (first.batch_rows, second.batch_rows) == (2, 2)
    assert first.score_ms == second.score_ms >= 0
    assert 0 <= second.queue_ms <= first.queue_ms


def test_rows_beyond_max_pending_wait_outside():
    """While the first batch is held, the queue never holds more than the bound, and all are served in the end."""
    gate = threading.Event()
    score = Recorder(lambda batch: gate.wait(20) or pytest.fail("the gate stayed shut"))
    batcher = MicroBatcher(score, limits(max_rows=2, max_pending=5))

    async def run() -> list[int]:
        running = asyncio.ensure_future(values(batcher, range(50)))
        while not score.batches:
            await asyncio.sleep(0.001)
        assert len(score.batches[0]) + len(batcher._waiting) == 5
        gate.set()
        return await running

    assert asyncio.run(run()) == [2 * number for number in range(50)]
    assert score.scored == Counter(range(50))


def test_the_deadline_covers_the_wait_outside_and_later_calls_work():
    gate = threading.Event()
    score = Recorder(lambda batch: 99 in batch and gate.wait(20))
    batcher = MicroBatcher(score, limits(max_rows=1, max_pending=2, deadline_s=0.3, max_wait_ms=0))

    async def run() -> list[int]:
        outcomes = await asyncio.gather(*map(batcher.submit, [99, 1, 2]), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DeadlineError] * 3
        assert "not scored within deadline_s: 0.3" in str(outcomes[0])
        gate.set()
        return await values(batcher, [7, 8])

    assert asyncio.run(run()) == [14, 16]
    assert score.batches == [[99], [7], [8]], "rows whose caller gave up are not scored"


def test_an_error_reaches_every_caller_of_its_batch_and_nobody_else():
    def refuse_odd(batch: list[int]) -> None:
        if batch[0] % 2:
            raise ScorerError(f"no {batch}")

    score = Recorder(refuse_odd)
    batcher = MicroBatcher(score, limits(max_rows=2, max_wait_ms=50))

    async def run() -> list:
        return await asyncio.gather(*map(batcher.submit, [1, 2, 4, 6, 3, 5, 8]), return_exceptions=True)

    outcomes = asyncio.run(run())
    told = [str(outcome) if isinstance(outcome, Exception) else outcome.value for outcome in outcomes]
    assert told == ["no [1, 2]", "no [1, 2]", 8, 12, "no [3, 5]", "no [3, 5]", 16]


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (ValueError("boom"), ScorerError, "scoring failed: ValueError: boom"),
        (TimeoutError("slow"), ScorerError, "scoring failed: TimeoutError: slow"),
        (SpecError("bad"), SpecError, "bad"),
    ],
)
def test_errors_are_of_this_package(raised, expected, message):
    def fail(batch):
        raise raised

    with pytest.raises(expected, match=message):
        asyncio.run(values(MicroBatcher(fail, limits()), [1]))


def test_a_result_too_few_is_an_error_and_no_hang():
    with pytest.raises(ScorerError, match="returned 1 results for 2 rows"):
        asyncio.run(values(MicroBatcher(lambda batch: [0], limits(max_rows=2)), [1, 2]))


@given(gone=st.sets(st.integers(0, 11)), max_rows=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_callers_that_are_cancelled_harm_nobody(gone, max_rows):
    gate = threading.Event()
    score = Recorder(lambda batch: gate.wait(20))
    batcher = MicroBatcher(score, limits(max_rows=max_rows, max_pending=8, max_wait_ms=0))

    async def run() -> list:
        calls = [asyncio.ensure_future(batcher.submit(number)) for number in range(12)]
        while not score.batches:
            await asyncio.sleep(0)
        started = set(score.batches[0])
        for number in gone:
            calls[number].cancel()
        for _ in range(3):  # the task hears, then its future, then the batcher's
            await asyncio.sleep(0)
        gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert score.scored == Counter(set(range(12)) - gone | started), "cancelled before their batch: not scored"
        return outcomes

    for number, outcome in enumerate(asyncio.run(run())):
        if number in gone:
            assert isinstance(outcome, asyncio.CancelledError)
        else:
            assert outcome.value == 2 * number


# --- threads, several loops, items of several rows --------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_and_event_loops_at_once_get_their_own_results(threads):
    scored: Counter = Counter()
    lock = threading.Lock()

    def score(batch: Sequence[int]) -> list[int]:
        with lock:
            scored.update(batch)
        return [2 * number for number in batch]

    batcher = MicroBatcher(score, limits(max_rows=7, max_pending=20, max_wait_ms=1), threads)

    def in_a_thread(start: int) -> list[int]:
        return [batcher.submit_and_wait(number).value for number in range(start, start + 30)]

    def in_a_loop(start: int) -> list[int]:
        return asyncio.run(values(batcher, range(start, start + 30)))

    with ThreadPoolExecutor(16) as pool:
        starts = range(0, 480, 30)
        got = list(pool.map(lambda start: (in_a_thread if start % 60 else in_a_loop)(start), starts))
    assert got == [[2 * number for number in range(start, start + 30)] for start in starts]
    assert scored == Counter(range(480))
    batcher.close()


def test_calls_of_many_threads_meet_in_one_batch():
    score = Recorder()
    batcher = MicroBatcher(score, limits(max_rows=16, max_wait_ms=60_000))
    with ThreadPoolExecutor(16) as pool:
        assert sorted(one.value for one in pool.map(batcher.submit_and_wait, range(16))) == list(range(0, 32, 2))
    assert list(map(len, score.batches)) == [16]


def test_items_of_several_rows_fill_a_batch_and_are_never_cut():
    gate = threading.Event()
    score = Recorder(lambda batch: gate.wait(20))
    batcher = MicroBatcher(score, limits(max_rows=5, max_wait_ms=0))

    async def run() -> list[int]:
        sizes = [1, 3, 2, 2, 9, 1]  # the first one is being scored while the others come
        calls = []
        for size in sizes:
            calls.append(asyncio.ensure_future(batcher.submit(size, size)))
            while not score.batches:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        gate.set()
        return [(await call).batch_rows for call in calls]

    assert asyncio.run(run()) == [1, 5, 5, 2, 9, 1]
    assert score.batches == [[1], [3, 2], [2], [9], [1]]


def test_who_will_not_wait_outside_is_refused_and_there_is_room_again_once_he_hears():
    gate = threading.Event()
    score = Recorder(lambda batch: gate.wait(20))
    batcher = MicroBatcher(score, limits(max_rows=2, max_pending=4, max_wait_ms=0))

    async def run() -> None:
        first = asyncio.ensure_future(batcher.submit(1, 3, outside=False))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="3 rows are waiting or being scored"):
            await batcher.submit(2, 2, outside=False)
        second = asyncio.ensure_future(batcher.submit(3, 1, outside=False))
        await asyncio.sleep(0)
        assert batcher.pending == 4
        gate.set()
        assert [(await first).value, (await second).value] == [2, 6]
        assert batcher.pending == 0
        assert (await batcher.submit(4, 9, outside=False)).value == 8, "one larger than the bound is let in alone"

    asyncio.run(run())


def test_a_thread_that_gives_up_is_not_scored_later():
    gate = threading.Event()
    score = Recorder(lambda batch: gate.wait(20))
    batcher = MicroBatcher(score, limits(max_rows=1, deadline_s=0.2, max_wait_ms=0))
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(batcher.submit_and_wait, number) for number in (1, 2)]
        for call in calls:
            with pytest.raises(DeadlineError, match=r"not scored within deadline_s: 0\.2"):
                call.result()
    gate.set()
    assert batcher.submit_and_wait(3).value == 6
    assert score.batches in ([[1], [3]], [[2], [3]])


def test_a_batcher_that_nobody_holds_lets_its_thread_end():
    batcher = MicroBatcher(Recorder(), limits())
    assert batcher.submit_and_wait(1).value == 2
    (thread,) = batcher._threads._threads
    gone = weakref.ref(batcher)
    del batcher
    gc.collect()
    thread.join(20)
    assert (gone(), thread.is_alive()) == (None, False)
