"""What is wrong with many rows, said at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pgsrm_plugin.errors import DataError

SHOWN = 5


class Faults:
    """Collects rows' errors, so that one look at a file finds them all."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self.count = 0

    def add(self, error: DataError | str) -> None:
        """Counts an error, and keeps its sentence if it is among the first."""
        self.count += 1
        if len(self._shown) < SHOWN:
            self._shown.append(str(error))

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Adds the DataError of what runs inside."""
        try:
            yield
        except DataError as error:
            self.add(error)

    def check(self) -> None:
        """Refuses what was found.

        Raises:
            DataError: the first sentences, one a line, and how many rows more are wrong.
        """
        if self.count:
            more = self.count - len(self._shown)
            rest = [f"and {more} more {'row is' if more == 1 else 'rows are'} wrong"] if more else []
            raise DataError("\n".join([*self._shown, *rest])) from None
