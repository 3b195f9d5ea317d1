"""Worker processes for many small runs: one thread each, quiet, gone with their parent, able to say where they are."""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import lightning.pytorch  # noqa: F401 - it sets its loggers' levels when it is imported; settle() comes after
import torch
import transformers

_state: dict[str, Any] = {}


@contextmanager
def workers(count: int) -> Iterator[tuple[ProcessPoolExecutor, Any]]:
    """A pool and the queue of what its processes :func:`tell`; they are :func:`stopped` once the block is left."""
    context = multiprocessing.get_context("spawn")
    beats, stop = context.Queue(), context.Event()
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=start, initargs=(beats, stop))
    try:
        yield pool, beats
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def start(beats: Any, stop: Any) -> None:
    """A worker process's first act."""
    settle()
    _state.update(beats=beats, stop=stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def tell(beat: Any) -> None:
    """Sends something picklable to the main process."""
    _state["beats"].put(beat)


def heard(beats: Any, patience: float = 0.2) -> Iterator[Any]:
    """What the workers have told by now; waits so many seconds for a first word."""
    try:
        yield beats.get(timeout=patience)
        while True:
            yield beats.get_nowait()
    except queue.Empty:
        return


def stopped() -> bool:
    """Whether the main process wants this worker to end."""
    return bool(_state["stop"].is_set())


def settle() -> None:
    """One thread, and no library writes between the lines of the progress display. Warnings of our own still show."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _end_with_parent() -> None:
    """A killed main process leaves no worker behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
