"""Answers that several processes keep in one folder: each writes to a store of its own there, and reads all."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

from pgsrm_plugin.asking.store.answers import Answer, Status
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.errors import SpecError, StoreBusyError, StoreError

_MOST = 1000
"""Processes that write at the same time."""


class SharedAnswers:
    """The stores ``000``, ``001``, ... of a folder: the first that nobody writes to is this one's own.

    What another process adds is seen at the next look. :meth:`close` gives the own store free.

    Args:
        folder: made if it is not there.
        writable: have a store of its own; without one the folder is only read, and may be missing.

    Raises:
        SpecError: the folder cannot be made or written to.
        StoreError: a store in it is damaged.
    """

    def __init__(self, folder: Path, writable: bool = True) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._others: dict[str, ParentStore] = {}
        self._own: ParentStore | None = None
        if not writable:
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SpecError(f"store: {folder} cannot be made ({error.strerror or error}); name another") from error
        self._own = self._free_one()

    def get(self, key: str) -> Answer | None:
        """The answer under a key: an ok one of any store before a failure."""
        answers = [answer for store in self._stores() if (answer := store.get(key)) is not None]
        return next((answer for answer in answers if answer.ok), answers[0] if answers else None)

    def by_call(self, call: str) -> Answer | None:
        """The answer to a call, whatever its extraction."""
        return next((answer for store in self._stores() if (answer := store.by_call(call)) is not None), None)

    def append(self, answer: Answer) -> None:
        """Adds an answer to this one's own store; on return it is on the disk."""
        if self._own is None:
            raise StoreError(f"{self.folder} is not open for writing")
        self._own.append(answer)

    def status(self, key: str) -> Status | None:
        """The status under a key, as :meth:`get` finds it; None where there is none."""
        found = [status for store in self._stores() if (status := store.status(key)) is not None]
        return "ok" if "ok" in found else found[0] if found else None

    def answers(self) -> Iterator[Answer]:
        """The answers of all stores."""
        return itertools.chain.from_iterable(store.answers() for store in self._stores())

    def close(self) -> None:
        """Gives the own store free."""
        with self._lock:
            for store in (*([self._own] if self._own is not None else []), *self._others.values()):
                store.close()
            self._others.clear()

    def _free_one(self) -> ParentStore:
        for number in range(_MOST):
            try:
                return ParentStore.open(self.folder / f"{number:03}", create=True)
            except StoreBusyError:
                continue
        raise StoreError(f"{self.folder}: {_MOST} processes write to it at the same time; give some another folder")

    def _stores(self) -> list[ParentStore]:
        """The own store first, then the others as they are now."""
        with self._lock:
            for path in sorted(self.folder.glob("[0-9][0-9][0-9]")):
                if (self._own is None or path != self._own.folder) and path.name not in self._others:
                    try:
                        self._others[path.name] = ParentStore.open(path, writable=False)
                    except StoreError:
                        continue  # being made by its process at this moment
            for store in self._others.values():
                store.refresh()
            return [*([self._own] if self._own is not None else []), *self._others.values()]
