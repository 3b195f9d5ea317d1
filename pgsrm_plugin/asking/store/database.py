"""The SQLite file of a parent store: its tables, its errors, and how it comes to be."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pgsrm_plugin.asking.store.answers import Answer
from pgsrm_plugin.data.whole import sync_folder
from pgsrm_plugin.errors import StoreError

NAME = "answers.sqlite3"
_APPLICATION = 0x7067726D
_VERSION = 2
"""Version 1 had JSON lines."""
_BUSY_S = 30.0
_SCHEMA = (
    # Records are added, never changed: the last one of a key counts, and what a reader knows stays where it was. The
    # record is bytes, not text: SQLite's text cannot hold lone surrogates. SQLite does not check pages: crc does.
    "CREATE TABLE answers (id INTEGER PRIMARY KEY, key TEXT NOT NULL, call TEXT NOT NULL, status TEXT NOT NULL, "
    "created TEXT NOT NULL, crc INTEGER NOT NULL, record BLOB NOT NULL)",
    "CREATE INDEX answers_by_key ON answers (key)",
    "CREATE INDEX answers_by_call ON answers (call)",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
_INSERT = """
INSERT INTO answers (key, call, status, created, crc, record) SELECT :key, :call, :status, :created, :crc, :record
WHERE :status = 'ok' OR NOT EXISTS (SELECT 1 FROM answers WHERE key = :key AND status = 'ok')"""
"""The rule of an addition: a failure never replaces an ok answer."""


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode, for any thread; ``mode`` is ``"ro"`` or ``"rw"``, and creates no file.

    Nothing else may open the file in the same process: closing that descriptor would drop SQLite's POSIX locks.
    """
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    connection.create_function("crc32", 1, _crc32, deterministic=True)
    return connection


def roll_back(path: Path) -> None:
    """Undoes what a killed writer left half done in a rollback journal, which a connection that only reads cannot.

    A journal that a living writer holds stays as it is. Where nothing can be written, reading says so.
    """
    if Path(f"{path}-journal").exists():
        with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(connect(path, "rw")) as connection:
            connection.execute("PRAGMA user_version").fetchone()


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block's changes, durably, or none."""
    # FULL syncs each commit. EXTRA is the same with a WAL, and with a rollback journal also syncs the folder when the
    # journal is deleted: a power cut could bring it back, and undo the commit.
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled it back already
            connection.execute("ROLLBACK")
        raise


def insert(connection: sqlite3.Connection, answer: Answer) -> None:
    """Adds a record, unless it is a failure under a key that has an ok answer."""
    record = answer.to_json()
    columns = {name: getattr(answer, name) for name in ("key", "call", "status", "created")}
    connection.execute(_INSERT, {**columns, "crc": zlib.crc32(record), "record": record})


def decode(path: Path, number: int, crc: int, record: bytes) -> Answer:
    """The answer of a row.

    Raises:
        StoreError: the record is not what was written.
    """
    if _crc32(record) != crc:
        raise StoreError(
            f"{path}, record {number}: it is damaged; `pgsrm parent repair {path.parent}` moves it aside and keeps the "
            "others"
        )
    return Answer.from_json(record)


def _crc32(record: object) -> int:
    return zlib.crc32(record) if isinstance(record, bytes) else -1  # damage can change a column's type, too


def build(path: Path, answers: Iterable[Answer]) -> None:
    """Puts a database of these answers in place, whole or not at all, readable by its owner alone.

    Raises:
        StoreError: the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with store_errors(path):
        for suffix in ("", "-journal"):
            Path(f"{temporary}{suffix}").unlink(missing_ok=True)
        # SQLite would create it for everyone to read; its other files take the mode of this one.
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(connect(temporary, "rw")) as connection, transaction(connection):
            for statement in _SCHEMA:
                connection.execute(statement)
            for answer in answers:
                insert(connection, answer)
        os.replace(temporary, path)
        sync_folder(path.parent)


def check_format(connection: sqlite3.Connection, path: Path) -> None:
    """Makes sure that the file is a store that this version can read.

    Raises:
        StoreError: it is not.
    """
    (application,), (version,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
    )
    if application != _APPLICATION:
        raise StoreError(f"{path.parent} is no parent store: its {NAME} is of another program")
    if version != _VERSION:
        raise StoreError(
            f"{path.parent} has format version {version}; this pgsrm-plugin reads version {_VERSION}: update it"
        )


@contextlib.contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Makes a StoreError that says what to do of what SQLite or the operating system refuses inside the block."""
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise StoreError(f"{path.parent} is closed ({error}); open it again") from error
    except (sqlite3.OperationalError, OSError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        raise StoreError(
            f"{path} cannot be read or written: {reason}; what was answered is kept: mend that, then run the same "
            "command again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path} is damaged ({error}); `pgsrm parent repair {path.parent}` keeps the answers that can be read"
        ) from error
