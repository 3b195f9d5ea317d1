"""Worker processes for many small runs: one thread each, quiet, gone with their parent, reporting their progress."""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import TypeVar

import lightning.pytorch  # noqa: F401 - sets its loggers' levels when first imported, and would undo configure_process
import torch
import transformers

from pgsrm_plugin.stopping import Stopped

Result = TypeVar("Result")


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


class Workers:
    """Processes that outlive the death of one: what was lost with them is the caller's to submit again."""

    def __init__(self, count: int) -> None:
        self._count = count
        # a forked child would inherit torch's threads in an unknown state
        self._context = multiprocessing.get_context("spawn")
        self.messages: Queue[ProgressMessage] = self._context.Queue()
        self._cancelled = self._context.Event()
        self._pool = self._new()

    def submit(self, work: Callable[..., Result], *arguments: object) -> Future[Result]:
        """Runs ``work`` in one of the processes; the future raises BrokenProcessPool where any was killed."""
        try:
            return self._pool.submit(work, *arguments)
        except BrokenProcessPool:
            self._pool = self._new()
            return self._pool.submit(work, *arguments)

    def close(self) -> None:
        """Cancels the runs and waits for the processes."""
        self._cancelled.set()
        self._pool.shutdown(cancel_futures=True)

    def _new(self) -> ProcessPoolExecutor:
        arguments = self.messages, self._cancelled
        return ProcessPoolExecutor(self._count, mp_context=self._context, initializer=_start, initargs=arguments)


@contextmanager
def workers(count: int) -> Iterator[Workers]:
    """Worker processes, which :func:`report`; leaving the block cancels their runs.

    An error lets each end its step; where the whole command is to stop, they are ended.
    """
    pool = Workers(count)
    try:
        yield pool
    except (Stopped, KeyboardInterrupt):
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.close()


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
