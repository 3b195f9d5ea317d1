"""Ctrl-C and SIGTERM: a command ends within seconds, and its exit status says which of the two it was."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE_S = 4.0
"""Seconds from the first signal until what has not ended by itself is ended."""

_longer_s = 0.0
_heard: int | None = None
_active = False
_left: int | None = None
"""The signal that the block was left by."""


class Stopped(SystemExit):
    """A signal asked for the end. An exit and no error: what catches errors lets it through, ``finally`` cleans up.

    Args:
        number: of the signal; the exit status is 128 more, as shells have it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}"


def heard() -> int | None:
    """The number of the first signal that asked for the end, if one did."""
    return _heard


@contextlib.contextmanager
def with_patience(seconds: float) -> Iterator[None]:
    """In the block a signal's end may take so much longer than :data:`PATIENCE_S`: what must be written is large."""
    global _longer_s
    before, _longer_s = _longer_s, seconds
    try:
        yield
    finally:
        _longer_s = before


def hear(number: int) -> bool:
    """Keeps the number of a signal; whether it is the first."""
    global _heard
    first = _heard is None
    _heard = number if first else _heard
    return first


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Inside the block the first SIGINT or SIGTERM raises :class:`Stopped` in the main thread, wherever it is.

    A library's long call, or threads that Python waits for at its end, would put that off. So another thread, which the
    interpreter need not run for, hears the signal too, and ends the process after :data:`PATIENCE_S`, also when the
    block has been left. Files are put in place whole (:mod:`pgsrm_plugin.data.whole`), so neither end cuts one short.

    Outside the main thread, where Python hears no signals, it does nothing.
    """
    global _heard, _active, _left
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _heard, _active = None, True
    atexit.register(_leave)  # before any library does, so that it comes after them
    ear, voice = socket.socketpair()
    voice.setblocking(False)
    handlers = {number: signal.signal(number, _raise) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(voice.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_in_time, args=(ear,), name="pgsrm-stopping", daemon=True).start()
    try:
        yield
    finally:
        _active, _left = False, _heard
        signal.set_wakeup_fd(wakeup)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        voice.close()


def _raise(number: int, frame: FrameType | None) -> None:
    if hear(number):
        raise Stopped(number)


def _end_in_time(ear: socket.socket) -> None:
    """Waits for a signal's number, which Python writes as soon as the signal comes; nothing more is read after it."""
    with ear:
        while number := ear.recv(1):
            if number[0] in SIGNALS:
                heard_at = time.monotonic()
                while time.monotonic() - heard_at < PATIENCE_S + _longer_s:
                    threading.Event().wait(0.1)
                os.write(2, f"pgsrm: {Stopped(number[0])}, in the middle of its work\n".encode())
                os._exit(128 + number[0])


def _leave() -> None:
    """Ends the process where Python has done all that the program asked for, and begins to take libraries apart.

    Taking a process group or a model apart takes many seconds, in which no other thread runs that could end it.
    """
    if _left is not None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(128 + _left)


def _forget() -> None:
    """A forked child (a loader's worker) ends as any process does, and its signals are not its parent's."""
    if _active:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
