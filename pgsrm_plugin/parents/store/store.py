"""The store of a parent's answers: append-only files that survive a kill at any moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pgsrm_plugin.errors import StoreError
from pgsrm_plugin.parents.store import files
from pgsrm_plugin.parents.store.answers import Answer, Status
from pgsrm_plugin.parents.store.index import Index
from pgsrm_plugin.parents.store.segments import (
    Line,
    encode,
    is_tail,
    read_answer,
    read_lines,
    segment_number,
    segment_path,
    segment_paths,
)

SEGMENT_BYTES = 64 * 2**20
_SHIFT = 48
"""A place is ``segment number << 48 | offset``: one int an answer in memory."""


@dataclass
class _Tail:
    """How far a segment has been read."""

    offset: int = 0
    line: int = 1


class ParentStore:
    """Answers by key, in a folder of append-only segments; use :meth:`open`.

    One writer at a time, any number of readers beside it. In memory it keeps about 300 bytes an answer. Of several
    records of one key the last counts, but that a failure never replaces an ok answer. Safe to use from several
    threads.

    Attributes:
        folder: where it is.
        writable: whether this one may append.
        repaired: what opening it for writing had to mend, in words; empty as a rule.
    """

    def __init__(self, folder: Path, writable: bool) -> None:
        self.folder = folder
        self.writable = writable
        self.repaired: list[str] = []
        self._index = Index()
        self._tails: dict[int, _Tail] = {}
        self._lock = threading.RLock()
        self._sync_lock = threading.Lock()
        self._fd = -1
        self._written = self._synced = 0
        self._broken = False
        self._writer_lock = files.WriterLock(folder) if writable else None

    @classmethod
    def open(cls, folder: str | Path, create: bool = False, writable: bool = True) -> ParentStore:
        """Opens a store and reads its index. A torn last record is cut off if ``writable``, else overlooked.

        Args:
            create: make the folder a store if it is absent or empty.
            writable: take the writer's lock; without it, ``append`` is refused and nothing on disk changes.

        Raises:
            StoreError: it is no store, of another version, damaged, or another process is writing to it.
        """
        path = Path(folder).expanduser()
        if create:
            files.create_store(path)
        files.check_manifest(path)
        store = cls(path, writable)
        try:
            store.refresh()
        except BaseException:
            store.close()
            raise
        return store

    def __enter__(self) -> ParentStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the writer's lock back."""
        with self._sync_lock, self._lock:
            self._close_segment()
            self._synced = self._written
            if self._writer_lock is not None:
                self._writer_lock.release()
            self.writable = False

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._index.place(key) is not None

    def status(self, key: str) -> Status | None:
        """The status under a key; None where there is none. Reads no file."""
        with self._lock:
            return self._index.status(key)

    def get(self, key: str) -> Answer | None:
        """The answer under a key; None where there is none.

        Raises:
            StoreError: its record was damaged since the store was opened.
        """
        return self._read(self._index.place(key))

    def by_call(self, call: str) -> Answer | None:
        """An answer to the same call, whatever its extraction: what need not be asked again."""
        return self._read(self._index.place_of_call(call))

    def __iter__(self) -> Iterator[Answer]:
        return self.answers()

    def answers(self) -> Iterator[Answer]:
        """The answer of every key that the store knew when the iteration began, in the order of the files."""
        with self._lock:
            ends = {number: tail.offset for number, tail in sorted(self._tails.items())}
            places = self._index.places()
        for number, end in ends.items():
            path = segment_path(self.folder, number)
            with path.open("rb") as file:
                for line in read_lines(file):
                    if line.offset >= end:
                        break
                    if number << _SHIFT | line.offset in places:
                        yield self._intact(line, path)

    def counts(self) -> dict[Status, int]:
        """How many keys have each status."""
        with self._lock:
            return self._index.counts()

    def append(self, answer: Answer) -> None:
        """Adds one answer; on return it is on the disk. See :meth:`extend`."""
        self.extend([answer])

    def extend(self, answers: Sequence[Answer]) -> None:
        """Adds answers; on return they are on the disk. Calls of several threads share one sync.

        Raises:
            StoreError: the store is not open for writing, or the disk failed.
        """
        if not answers:
            return
        lines = [encode(answer) for answer in answers]
        with self._lock:
            if not self.writable or self._broken:
                raise StoreError(f"{self.folder} is not open for writing")
            ticket = self._written = self._written + 1
            self._write(answers, lines)
        self._sync(ticket)

    def refresh(self) -> None:
        """Takes in what a writer has added since; see :meth:`open` for what it raises."""
        with self._lock:
            paths = segment_paths(self.folder)
            for path in paths:
                self._read_segment(path, last=path == paths[-1])

    def _read(self, place: int | None) -> Answer | None:
        if place is None:
            return None
        return read_answer(segment_path(self.folder, place >> _SHIFT), place & (1 << _SHIFT) - 1)

    def _read_segment(self, path: Path, last: bool) -> None:
        number = segment_number(path)
        tail = self._tails.setdefault(number, _Tail())
        with path.open("rb") as file:
            for line in read_lines(file, tail.offset, tail.line):
                if last and line.torn and is_tail(file, line):
                    self._cut(path, line)
                    return
                answer = self._intact(line, path)
                self._index.enter(answer, number << _SHIFT | line.offset)
                tail.offset, tail.line = line.offset + len(line.content), line.number + 1

    def _intact(self, line: Line, path: Path) -> Answer:
        if line.answer is None:
            raise StoreError(
                f"{path}, line {line.number}: the record is damaged; `pgsrm parent repair {self.folder}` moves it "
                "aside and keeps the others"
            )
        return line.answer

    def _cut(self, path: Path, line: Line) -> None:
        if self.writable:
            lost = files.cut(path, line.offset)
            said = f"{path}, line {line.number}: cut off a record that was not written to its end ({lost} B)"
            self.repaired.append(said)

    def _write(self, answers: Sequence[Answer], lines: Sequence[bytes]) -> None:
        number = max(self._tails, default=0)
        if not number or self._tails[number].offset >= SEGMENT_BYTES:
            self._close_segment()
            number += 1
            self._tails[number] = _Tail()
        path = segment_path(self.folder, number)
        if self._fd < 0:
            self._fd = files.open_segment(path)
        files.append_all(self._fd, b"".join(lines), path)
        tail = self._tails[number]
        for answer, line in zip(answers, lines, strict=True):
            self._index.enter(answer, number << _SHIFT | tail.offset)
            tail.offset += len(line)
            tail.line += 1

    def _close_segment(self) -> None:
        if self._fd >= 0:
            self._flush(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _sync(self, ticket: int) -> None:
        with self._sync_lock:
            if self._synced >= ticket:
                return
            with self._lock:
                upto, fd = self._written, os.dup(self._fd)
            try:
                self._flush(fd)
            finally:
                os.close(fd)
            self._synced = upto

    def _flush(self, fd: int) -> None:
        try:
            os.fsync(fd)
        except OSError as error:
            # The next fsync would say that all is well.
            self._broken = True
            raise StoreError(f"{self.folder}: the disk did not take the last answers: {error}") from error
