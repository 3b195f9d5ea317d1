"""Files that appear under their name whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".new-"
"""How the names of unfinished files begin; a kill may leave one behind."""


def write_whole(path: Path, content: bytes, *, durable: bool = True, mode: int | None = None) -> None:
    """Puts a file in place at once: whoever looks sees all of it or the one before.

    Args:
        durable: on return it survives a power cut, too.
        mode: its permissions; None: what the umask says.

    Raises:
        OSError: the file system refused; the one before is still there.
    """
    with replacing(path, durable=durable, mode=mode) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True, mode: int | None = None) -> Iterator[BinaryIO]:
    """A stream whose content takes the path's place at the end of the block, and not at all if the block raises.

    Arguments and errors are those of :func:`write_whole`.
    """
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else mode)
    try:
        with open(fd, "wb") as file:
            if mode is not None:
                os.fchmod(fd, mode)  # whatever the umask took away
            yield file
            file.flush()
            if durable:
                os.fsync(fd)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable: without it a power cut can undo a rename that a sync of the file outlives.

    Raises:
        OSError: the disk is broken.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
