"""The right to write to a store."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from pgsrm_plugin.errors import StoreBusyError, StoreError

NAME = "writer.lock"


class WriterLock:
    """The right to write to a folder; it ends with the process at the latest.

    SQLite's own locks last for a transaction only: a second run would ask the parent everything that the first has in
    flight, and pay twice.

    Raises:
        StoreBusyError: another process, or another store of this one, has it.
        StoreError: the folder cannot be locked or written to.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._fd = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"{folder / NAME} cannot be written: {error.strerror or error}; mend that, then run the same command "
                "again"
            ) from error
        try:
            # flock, not lockf: that one would not exclude a second writer of the same process.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(self._fd)
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"{folder}: its file system cannot lock ({error}); use a local disk") from error
            raise StoreBusyError(
                f"{folder} is being written by {holder}; wait for it, or generate into a store of its own and merge"
            ) from None
        # The lock holds without the note of its holder, which a full disk does not take.
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            # A forked child has a copy of the descriptor: closing this one alone would leave the lock with the child.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = -1
