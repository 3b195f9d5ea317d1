"""Mending a damaged store."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgsrm_plugin.asking.store.answers import Answer
from pgsrm_plugin.asking.store.database import NAME, build, connect, decode, store_errors
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.asking.store.writer_lock import WriterLock
from pgsrm_plugin.data.whole import sync_folder
from pgsrm_plugin.errors import StoreError

DAMAGED = "damaged"
"""The folder inside a store to which ``repair`` moves a file that cannot be read whole."""
_LEAST_BYTES = 256
"""Fewer bytes no record takes: two digests of 64 characters, and the names of all fields."""


@dataclass(frozen=True)
class Repair:
    """What a repair did.

    Attributes:
        kept: intact records.
        damaged: records that could not be read; more may have stood where nothing tells them.
        aside: the file as it was before, byte for byte; None where nothing was damaged.
    """

    kept: int
    damaged: int = 0
    aside: Path | None = None


def repair(folder: str | Path) -> Repair:
    """Builds a damaged store anew of the records that are intact, and keeps the file as it was; converts an old store.

    Killed in between, it can be run again: the file is replaced only when all of its new content is on the disk.

    Raises:
        StoreError: it is no store, or another process is writing to it.
    """
    path = Path(folder).expanduser() / NAME
    if not path.exists():
        ParentStore.open(folder).close()
    lock = WriterLock(path.parent)
    try:
        count = _count_if_sound(path)
        return Repair(count) if count is not None else _rebuild(path)
    finally:
        lock.release()


def _count_if_sound(path: Path) -> int | None:
    """The number of records; None where anything is damaged."""
    try:
        # For writing: what a killed writer left in the log is taken into the file when this closes.
        with contextlib.closing(connect(path, "rw")) as connection:
            ((found,),) = connection.execute("PRAGMA integrity_check(1)")
            ((count, damaged),) = connection.execute("SELECT count(*), sum(crc32(record) != crc) FROM answers")
            return None if found != "ok" or damaged else int(count)
    except sqlite3.DatabaseError:
        return None


def _rebuild(path: Path) -> Repair:
    folder, rebuilt = path.parent / DAMAGED, path.with_name(f".{NAME}.rebuilt")
    aside = folder / f"{path.stem}-{os.urandom(3).hex()}{path.suffix}"
    salvage = _Salvage(path)
    with store_errors(path):
        folder.mkdir(mode=0o700, exist_ok=True)
        build(rebuilt, salvage.answers())
        os.link(path, aside)
        for suffix in ("-wal", "-shm"):
            # SQLite would replay the log of the old file into the new one.
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{aside}{suffix}")
        os.replace(rebuilt, path)
        sync_folder(path.parent)
    return Repair(salvage.kept, salvage.last - salvage.kept, aside)


class _Salvage:
    """Reads what can be read.

    Attributes:
        kept: intact records so far.
        last: the number of the last record that was found, intact or not; they count from 1 without a gap.
    """

    def __init__(self, path: Path) -> None:
        self.kept = self.last = 0
        self._path = path

    def answers(self) -> Iterator[Answer]:
        most = sum(file.stat().st_size for file in self._path.parent.glob(f"{NAME}*")) // _LEAST_BYTES
        with contextlib.closing(connect(self._path, "ro")) as connection:
            with contextlib.suppress(sqlite3.DatabaseError):
                # Without it SQLite refuses a file that was cut off as a whole.
                connection.execute("PRAGMA writable_schema = ON")
            # One by one: a scan would end at the first damaged page.
            for number in range(1, most + 1):
                try:
                    row = connection.execute("SELECT id, crc, record FROM answers WHERE id = ?", (number,)).fetchone()
                except sqlite3.DatabaseError:
                    continue
                if row is None:
                    continue
                self.last = number
                with contextlib.suppress(StoreError):
                    yield decode(self._path, *row)
                    self.kept += 1
