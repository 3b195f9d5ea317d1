"""A lock that a fork finds open."""

from __future__ import annotations

import multiprocessing

from pgsrm_plugin.scorer.forks import ForkedLock


def _take(lock: ForkedLock, taken) -> None:
    with lock:
        taken.put(True)


def test_a_child_of_a_process_that_holds_the_lock_can_take_it():
    context, lock = multiprocessing.get_context("fork"), ForkedLock()
    taken = context.Queue()
    with lock:
        child = context.Process(target=_take, args=(lock, taken))
        child.start()
        assert taken.get(timeout=10)
    child.join()
    with lock:
        pass
