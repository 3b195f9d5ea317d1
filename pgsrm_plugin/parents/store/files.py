"""What a store asks of the file system: durable files, private modes, one writer."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pgsrm_plugin.errors import StoreError

_LOCK = "writer.lock"
_MANIFEST = "manifest.json"
_FORMAT = "pgsrm parent store"
_VERSION = 1


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Makes a StoreError of what the operating system refuses inside the block."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}; what was answered is kept: mend that, then run the "
            "same command again"
        ) from error


class WriterLock:
    """The right to write to a folder; it ends with the process at the latest.

    Raises:
        StoreError: another process, or another store of this one, has it.
    """

    def __init__(self, folder: Path) -> None:
        with disk_errors(folder / _LOCK):
            self._fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # flock, not lockf: that one would not exclude a second writer of the same process.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(self._fd)
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"{folder}: its file system cannot lock ({error}); use a local disk") from error
            raise StoreError(
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


def create_store(folder: Path) -> None:
    """Makes an empty store of an absent or empty folder; leaves a store as it is.

    Raises:
        StoreError: the folder holds something else.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (folder / _MANIFEST).exists():
            return
        strangers = [entry.name for entry in folder.iterdir() if entry.name not in (_LOCK, _temporary(_MANIFEST))]
    except OSError as error:
        raise StoreError(f"{folder} cannot be made a parent store: {error}") from error
    if strangers:
        raise StoreError(f"{folder} is no parent store, and not empty ({sorted(strangers)[0]} is there); name another")
    content = json.dumps({"format": _FORMAT, "version": _VERSION}).encode() + b"\n"
    write_whole(folder / _MANIFEST, content)


def check_manifest(folder: Path) -> None:
    """Makes sure that the folder is a store that this version can read.

    Raises:
        StoreError: it is not.
    """
    try:
        manifest: Any = json.loads((folder / _MANIFEST).read_bytes())
    except FileNotFoundError:
        raise StoreError(f"{folder} is no parent store: it has no {_MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / _MANIFEST} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise StoreError(f"{folder} is no parent store: its {_MANIFEST} says nothing of one")
    if manifest.get("version") != _VERSION:
        raise StoreError(
            f"{folder} has format version {manifest.get('version')!r}; this pgsrm-plugin reads version {_VERSION}: "
            "update it"
        )


def write_whole(path: Path, content: bytes) -> None:
    """Puts a file in place at once and durably: whoever looks sees all of it or the one before.

    Raises:
        StoreError: the disk is full or broken; the one before is still there.
    """
    temporary = path.with_name(_temporary(path.name))
    with disk_errors(path):
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)


def open_segment(path: Path) -> int:
    """A descriptor that appends; the file exists durably, readable by its owner alone.

    Raises:
        StoreError: the disk is full or broken.
    """
    with disk_errors(path):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        sync_folder(path.parent)
        return fd


def append_all(fd: int, content: bytes, path: Path) -> None:
    """Appends all of it or nothing.

    Raises:
        StoreError: the disk is full or broken; what had been written of it was taken back.
    """
    before = os.fstat(fd).st_size
    view = memoryview(content)
    with disk_errors(path):
        try:
            while view:
                view = view[os.write(fd, view) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, before)
            raise


def cut(path: Path, offset: int) -> int:
    """Cuts a file off, durably; returns how many bytes went.

    Raises:
        StoreError: the disk is broken.
    """
    with disk_errors(path), path.open("r+b") as file:
        lost = file.seek(0, os.SEEK_END) - offset
        file.truncate(offset)
        os.fsync(file.fileno())
    return lost


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _temporary(name: str) -> str:
    return f".{name}.tmp"
