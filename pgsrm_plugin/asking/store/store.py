"""The store of a parent's answers: one SQLite file that survives a kill at any moment."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pgsrm_plugin.asking.store import json_lines
from pgsrm_plugin.asking.store.answers import STATUSES, Answer, Status
from pgsrm_plugin.asking.store.database import (
    NAME,
    build,
    check_format,
    connect,
    decode,
    insert,
    roll_back,
    store_errors,
    transaction,
)
from pgsrm_plugin.asking.store.writer_lock import NAME as LOCK
from pgsrm_plugin.asking.store.writer_lock import WriterLock
from pgsrm_plugin.errors import StoreError

_PAGE = 256
_CURRENT = """
{table}.id <= :last AND NOT EXISTS
(SELECT 1 FROM {schema}.answers AS later WHERE later.key = {table}.key AND later.id > {table}.id AND later.id <= :last)
"""
_PAGE_OF_CURRENT = (
    f"SELECT id, crc, record FROM answers WHERE id > :after AND "
    f"{_CURRENT.format(table='answers', schema='main')} ORDER BY id LIMIT {_PAGE}"
)
_COUNTS = (
    f"SELECT status, count(*) FROM answers WHERE {_CURRENT.format(table='answers', schema='main')} GROUP BY status"
)
_MERGE = f"""
INSERT INTO main.answers (key, call, status, created, crc, record)
SELECT key, call, status, created, crc, record FROM source.answers AS theirs
WHERE {_CURRENT.format(table="theirs", schema="source")} AND NOT EXISTS (
    SELECT 1 FROM (SELECT status, created FROM main.answers WHERE key = theirs.key ORDER BY id DESC LIMIT 1) AS own
    WHERE CASE WHEN (own.status = 'ok') = (theirs.status = 'ok') THEN own.created >= theirs.created
          ELSE own.status = 'ok' END)
ORDER BY theirs.id"""
"""The rule of a merge: an ok answer beats a failure, else the later beats the earlier."""


class ParentStore:
    """Answers by key, in a folder; use :meth:`open`.

    One writer at a time, any number of readers beside it. Nothing of the answers is in memory. Of several records of
    one key the last counts, but that a failure never replaces an ok answer. Safe to use from several threads.

    Attributes:
        folder: where it is.
        writable: whether this one may append.
        notes: what opening it for writing has to say, in words; empty as a rule.
    """

    def __init__(self, folder: Path, writable: bool) -> None:
        self.folder = folder
        self.writable = writable
        self.notes: list[str] = []
        self._path = folder / NAME
        self._lock = threading.RLock()
        self._last = 0
        self._writer_lock = WriterLock(folder) if writable else None
        self._connection: sqlite3.Connection | None = None

    @classmethod
    def open(cls, folder: str | Path, create: bool = False, writable: bool = True) -> ParentStore:
        """Opens a store; one in the format of JSON lines is converted if ``writable``.

        Args:
            create: make the folder a store if it is absent or empty.
            writable: take the writer's lock; without it, ``append`` is refused and no answer on disk changes.

        Raises:
            StoreError: it is no store, of another version, damaged, or another process is writing to it.
        """
        path = Path(folder).expanduser()
        if create:
            _create(path)
        _check_folder(path, writable)
        store = cls(path, writable)
        try:
            store._connect()
        except BaseException:
            store.close()
            raise
        return store

    def _connect(self) -> None:
        if self.writable and not self._path.exists():
            self.notes.append(json_lines.convert(self.folder))
        with store_errors(self._path):
            if not self.writable:
                roll_back(self._path)
            self._connection = connect(self._path, "rw" if self.writable else "ro")
            check_format(self._connection, self._path)
            if self.writable:
                ((found,),) = self._connection.execute("PRAGMA quick_check(1)")
                if found != "ok":
                    raise sqlite3.DatabaseError(" ".join(found.split()))
                # With a write-ahead log readers and the writer do not wait for each other, and a commit is one sync.
                ((mode,),) = self._connection.execute("PRAGMA journal_mode = WAL")
                if mode != "wal":
                    self.notes.append(
                        f"{self.folder}: its file system cannot share memory between processes, so the store uses a "
                        "rollback journal: as safe, but slower, and readers and the writer wait for each other"
                    )
        self.refresh()

    def __enter__(self) -> ParentStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends reading, and gives the writer's lock back."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    if self.writable:
                        # At rest a store is one file, which can be copied, and read where nothing can be written. Where
                        # readers are at it, it keeps its log: no reason to wait for them.
                        self._connection.execute("PRAGMA busy_timeout = 0")
                        self._connection.execute("PRAGMA journal_mode = DELETE")
                self._connection.close()
            if self._writer_lock is not None:
                self._writer_lock.release()
            self.writable = False

    def __len__(self) -> int:
        ((count,),) = self._rows("SELECT count(DISTINCT key) FROM answers WHERE id <= :last")
        return int(count)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.status(key) is not None

    def status(self, key: str) -> Status | None:
        """The status under a key; None where there is none."""
        rows = self._rows(
            "SELECT status FROM answers WHERE key = :key AND id <= :last ORDER BY id DESC LIMIT 1", key=key
        )
        return rows[0][0] if rows else None

    def get(self, key: str) -> Answer | None:
        """The answer under a key; None where there is none.

        Raises:
            StoreError: its record is damaged.
        """
        return self._answer(
            "SELECT id, crc, record FROM answers WHERE key = :key AND id <= :last ORDER BY id DESC LIMIT 1", key=key
        )

    def by_call(self, call: str) -> Answer | None:
        """The last answer to the same call, whatever its extraction: what need not be asked again."""
        return self._answer(
            "SELECT id, crc, record FROM answers WHERE call = :call AND status != 'failed' AND id <= :last "
            "ORDER BY id DESC LIMIT 1",
            call=call,
        )

    def __iter__(self) -> Iterator[Answer]:
        return self.answers()

    def answers(self) -> Iterator[Answer]:
        """The answer of every key that the store knew when the iteration began, in the order of their addition."""
        # By the page, bounded by the last record of the beginning: an open cursor would keep a snapshot, and with it
        # the log from being emptied, for as long as someone looks at one answer.
        last, after = self._last, 0
        while rows := self._rows(_PAGE_OF_CURRENT, after=after, last=last):
            for row in rows:
                yield decode(self._path, *row)
            after = rows[-1][0]

    def counts(self) -> dict[Status, int]:
        """How many keys have each status."""
        found = dict(self._rows(_COUNTS))
        return {status: found.get(status, 0) for status in STATUSES}

    def append(self, answer: Answer) -> None:
        """Adds one answer; on return it is on the disk. See :meth:`extend`."""
        self.extend([answer])

    def extend(self, answers: Sequence[Answer]) -> None:
        """Adds answers, all or none; on return they are on the disk.

        Raises:
            StoreError: the store is not open for writing, or the disk failed.
        """
        if not answers:
            return
        with self._writing() as connection, transaction(connection):
            for answer in answers:
                insert(connection, answer)
        self.refresh()

    def merge(self, source: ParentStore) -> int:
        """Takes over each answer of the source that is new to this store or better; returns how many.

        An ok answer beats a failure, else the one created later beats the earlier; merging twice changes nothing.

        Raises:
            StoreError: this store is not open for writing, or the source is damaged; nothing is taken over then.
        """
        with self._writing() as connection, store_errors(source._path):
            connection.execute("ATTACH ? AS source", (f"{source._path.resolve().as_uri()}?mode=ro",))
            try:
                for row in connection.execute(
                    "SELECT id, crc, record FROM source.answers WHERE crc32(record) != crc AND id <= ? LIMIT 1",
                    (source._last,),
                ):
                    decode(source._path, *row)
                with transaction(connection):
                    taken = connection.execute(_MERGE, {"last": source._last}).rowcount
            finally:
                connection.execute("DETACH source")
        self.refresh()
        return taken

    def refresh(self) -> None:
        """Takes in what a writer has added since."""
        ((last,),) = self._rows("SELECT coalesce(max(id), 0) FROM answers")
        self._last = last

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, store_errors(self._path):
            if not self.writable or self._connection is None:
                raise StoreError(f"{self.folder} is not open for writing")
            yield self._connection

    def _rows(self, query: str, **values: Any) -> list[Any]:
        assert self._connection is not None
        with self._lock, store_errors(self._path):
            return self._connection.execute(query, {"last": self._last, **values}).fetchall()

    def _answer(self, query: str, **values: str) -> Answer | None:
        rows = self._rows(query, **values)
        return decode(self._path, *rows[0]) if rows else None


def _create(folder: Path) -> None:
    """Makes an empty store of an absent or empty folder; leaves a store as it is.

    Raises:
        StoreError: the folder holds something else.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (folder / NAME).exists() or json_lines.segments(folder):
            return
        own = (LOCK, json_lines.MANIFEST)
        strangers = [
            one.name for one in folder.iterdir() if one.name not in own and not one.name.startswith(f".{NAME}")
        ]
    except OSError as error:
        raise StoreError(f"{folder} cannot be made a parent store: {error}") from error
    if strangers:
        raise StoreError(f"{folder} is no parent store, and not empty ({sorted(strangers)[0]} is there); name another")
    lock = WriterLock(folder)
    try:
        if not (folder / NAME).exists():
            build(folder / NAME, ())
    finally:
        lock.release()


def _check_folder(folder: Path, writable: bool) -> None:
    if (folder / NAME).exists():
        return
    if not (folder.is_dir() and json_lines.segments(folder)):
        raise StoreError(f"{folder} is no parent store: it has no {NAME}")
    if not writable:
        raise StoreError(
            f"{folder} is a parent store of an earlier format; `pgsrm parent repair {folder}` converts it, once"
        )
