"""Where a command writes beside its data: checked before the work, written whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pgsrm_plugin.data.whole import write_whole
from pgsrm_plugin.errors import DataError


def check_place(path: Path, option: str, extensions: Sequence[str]) -> Path:
    """The path to write to, refused now rather than after the work.

    Raises:
        DataError: the extension is another, the folder does not exist or cannot be written, or it is a folder.
    """
    path = path.expanduser()
    if path.suffix not in extensions:
        raise DataError(f"{option} {path}: the extension must be {' or '.join(extensions)}, not {path.suffix!r}")
    folder = path.absolute().parent
    if path.is_dir():
        raise DataError(f"{option} {path} is a folder; give a file name")
    if not folder.is_dir():
        raise DataError(f"{option}: there is no folder {path.parent} to write {path.name} to; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{option}: the folder {path.parent} cannot be written to")
    return path


def write_place(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all.

    Raises:
        DataError: the disk refuses.
    """
    try:
        write_whole(path, text.encode("utf-8", "replace"))
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None
