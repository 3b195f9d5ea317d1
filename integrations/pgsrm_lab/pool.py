"""Worker processes for many small runs: one thread each, quiet, gone with their parent, reporting their progress."""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event

import lightning.pytorch  # noqa: F401 - sets its loggers' levels when first imported, and would undo configure_process
import torch
import transformers

from pgsrm_plugin.stopping import Stopped


@dataclass(frozen=True)
class ProgressMessage:
    """A run has done a step.

    Attributes:
        run: its name on the progress display.
        step: steps done.
        reward, accuracy: the latest, where they are known.
    """

    run: str
    step: int
    reward: float | None = None
    accuracy: float | None = None


class RunCancelledError(Exception):
    """The main process ends, perhaps because another run failed; so does this run."""


_messages: Queue[ProgressMessage] | None = None
_cancelled: Event | None = None


@contextmanager
def workers(count: int) -> Iterator[tuple[ProcessPoolExecutor, Queue[ProgressMessage]]]:
    """A pool and the queue of what its processes :func:`report`; leaving the block cancels their runs.

    An error lets each end its step; where the whole command is to stop, they are ended.
    """
    context = multiprocessing.get_context("spawn")  # a forked child would inherit torch's threads in an unknown state
    messages, cancelled = context.Queue(), context.Event()
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(messages, cancelled))
    try:
        yield pool, messages
    except (Stopped, KeyboardInterrupt):
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        cancelled.set()
        pool.shutdown(cancel_futures=True)


def report(message: ProgressMessage) -> None:
    """Sends a worker's progress to the main process.

    Raises:
        RunCancelledError: the main process wants this worker to end.
    """
    assert _messages is not None, "report() is called in a process of workers()"
    assert _cancelled is not None
    if _cancelled.is_set():
        raise RunCancelledError
    _messages.put(message)


def received(messages: Queue[ProgressMessage], timeout: float = 0.2) -> Iterator[ProgressMessage]:
    """What has arrived by now; waits so many seconds for a first message."""
    try:
        yield messages.get(timeout=timeout)
        while True:
            yield messages.get_nowait()
    except queue.Empty:
        return


def configure_process(threads: int | None = 1) -> None:
    """One thread, which is fastest for tiny models, and no library writes between the lines of the progress display.

    Warnings of our own still show.

    Args:
        threads: None leaves torch's number.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _start(messages: Queue[ProgressMessage], cancelled: Event) -> None:
    """A worker process's first act."""
    global _messages, _cancelled
    configure_process()
    _messages, _cancelled = messages, cancelled
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal: the main one ends these
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed main process leaves no worker behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
