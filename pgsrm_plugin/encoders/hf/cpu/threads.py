"""Worker threads that compute with one core each, beside a host process whose own thread settings stay as they are."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def submit(threads: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Runs ``function`` on one of ``threads`` workers, shared by all encoders of the process, in inference mode.

    Inside, torch uses a single core, so that the kernels' order of sums does not depend on the machine's load or size.
    A worker lives as long as the process: the kernels compiled for it are kept.
    """
    return _workers(os.getpid(), threads).submit(_in_inference_mode, function, *args, **kwargs)  # type: ignore[arg-type]


def _in_inference_mode(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    with torch.inference_mode():
        return function(*args, **kwargs)


@functools.lru_cache(maxsize=8)
def _workers(process: int, threads: int) -> ThreadPoolExecutor:
    """The workers of a process; one forked from it needs its own."""
    inherited: list[int] = []
    started = threading.Barrier(threads)

    def take_one_core() -> None:
        # The first call fixes a thread's own number; only then can it be changed for good.
        inherited.append(torch.get_num_threads())
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(threads, thread_name_prefix="pgsrm-encoder", initializer=take_one_core)
    list(pool.map(lambda _: started.wait(), range(threads)))
    # set_num_threads also changes what threads yet to come begin with; a short-lived one puts that back.
    restorer = threading.Thread(target=torch.set_num_threads, args=(inherited[0],))
    restorer.start()
    restorer.join()
    return pool
