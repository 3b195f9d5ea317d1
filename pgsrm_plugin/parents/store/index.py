"""Where a store's answers are, without the answers."""

from __future__ import annotations

from collections import Counter

from pgsrm_plugin.parents.store.answers import STATUSES, Answer, Status


class Index:
    """Of each key the place of the record that counts, and its status; about 300 bytes an answer.

    Of several records of a key the last counts, but that a failure never replaces an ok answer. A place is any int.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}
        self._failures: dict[bytes, Status] = {}
        self._calls: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def enter(self, answer: Answer, place: int) -> None:
        key = _short(answer.key)
        if not answer.ok and self.status(answer.key) == "ok":
            return
        self._places[key] = place
        self._failures.pop(key, None)
        if not answer.ok:
            self._failures[key] = answer.status
        if answer.status != "failed":
            self._calls[_short(answer.call)] = place

    def status(self, key: str) -> Status | None:
        short = _short(key)
        return self._failures.get(short, "ok") if short in self._places else None

    def place(self, key: str) -> int | None:
        return self._places.get(_short(key))

    def place_of_call(self, call: str) -> int | None:
        """The last answer to a call, under whatever key; a call that failed has none."""
        return self._calls.get(_short(call))

    def places(self) -> set[int]:
        """The places of the records that count."""
        return set(self._places.values())

    def counts(self) -> dict[Status, int]:
        """How many keys have each status."""
        failures = Counter(self._failures.values())
        ok = len(self._places) - len(self._failures)
        return {status: ok if status == "ok" else failures[status] for status in STATUSES}


def _short(digest: str) -> bytes:
    return bytes.fromhex(digest[:32])
