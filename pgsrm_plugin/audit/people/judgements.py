"""Rows that people have judged: which of two answers is better, how good one is, or whether it is right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pgsrm_plugin.audit.people.builtin import BUILTIN, builtin_files
from pgsrm_plugin.data.faults import Faults
from pgsrm_plugin.data.files import json_type, plain, stream_rows
from pgsrm_plugin.data.layouts import absent
from pgsrm_plugin.data.rows import Columns, Record, parse_row
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.types import RewardSample

DataKind = Literal["pairs", "ratings", "labels"]
Rows = Sequence[tuple[str, Mapping[str, Any]]]
"""Rows, each after its label."""
T = TypeVar("T")
_GOOD, _BAD, _RATING, _LABEL = ("good", "chosen"), ("bad", "rejected"), ("rating", "score"), ("label",)
_SECTION = ("section", "kind", "subset")
_COLUMNS: dict[DataKind, tuple[str, ...]] = {"pairs": (*_GOOD, *_BAD), "ratings": _RATING, "labels": _LABEL}
_BINARY = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "false": 0.0, "true": 1.0}


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, of which people hold the first to be better.

    Attributes:
        label: how messages call the row.
        section: what the row counts towards: its ``section``, ``kind`` or ``subset``; "" where it has none.
    """

    label: str
    section: str
    good: RewardSample
    bad: RewardSample


@dataclass(frozen=True)
class Judged:
    """An answer and what people gave it: a rating, or 0 or 1."""

    label: str
    sample: RewardSample
    value: float


@dataclass(frozen=True)
class Judgements:
    """The rows of one file or of the built-in set: pairs, or single answers with a value.

    Attributes:
        source: the file, or ``builtin``.
    """

    source: str
    kind: DataKind
    pairs: Sequence[Preference] = ()
    answers: Sequence[Judged] = ()

    def __len__(self) -> int:
        return len(self.pairs) or len(self.answers)


def read_judgements(source: str | Path, kind: DataKind | None = None, *, judged: bool = True) -> Judgements:
    """Reads a .jsonl or .parquet file, or the built-in pairs for ``builtin``.

    Args:
        kind: what the rows are; None: found by their columns.
        judged: whether anything looks at the ground truth; where nothing does, one that cannot be read is no error.

    Raises:
        DataError: the file cannot be read, its kind is not clear, or rows are wrong: the first five are named, the
            others counted; or all rows are judged alike.
    """
    faults = Faults()
    files = builtin_files() if str(source) == BUILTIN else [Path(source)]
    rows = [row for file in files for row in stream_rows(file, faults)]
    if not rows:
        faults.check()
    kind = kind or find_data_kind(rows, str(source))
    if kind == "pairs":
        pairs = _each(rows, faults, lambda label, row: _pair(label, row, judged))
        faults.check()
        return Judgements(str(source), kind, pairs=pairs)
    read = _rating if kind == "ratings" else _binary
    answers = _each(rows, faults, lambda label, row: _answer(label, row, judged, read))
    faults.check()
    _check_values_differ(answers, kind, str(source))
    return Judgements(str(source), kind, answers=answers)


def find_data_kind(rows: Rows, source: str) -> DataKind:
    """What the rows are, by their columns.

    Raises:
        DataError: they have the columns of none, or of several.
    """
    names = {name for _, row in rows for name, value in row.items() if not absent(value)}
    found = [kind for kind, columns in _COLUMNS.items() if names & set(columns)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{source}: the rows could be {' or '.join(found)}; say which, e.g. --as {found[0]}")
    raise DataError(
        f"{source}: nothing in the rows says what people think of them: pairs have good and bad (or chosen and "
        f"rejected), ratings have rating (or score), labels have label (these have: {', '.join(sorted(names)[:8])})"
    )


def _each(rows: Rows, faults: Faults, read: Callable[[str, Mapping[str, Any]], T]) -> list[T]:
    found = []
    for label, row in rows:
        with faults.collect():
            found.append(read(label, row))
    return found


def _pair(label: str, row: Mapping[str, Any], judged: bool) -> Preference:
    keys = [_present(row, names, label) for names in (_GOOD, _BAD)]
    good, bad = (_only(parse_row(row, label, columns=Columns(response=key), judged=judged), key) for key in keys)
    section = next((row[name] for name in _SECTION if not absent(row.get(name))), "")
    if not isinstance(section, str | int):
        raise DataError(f"{label}: the section must be text, not {json_type(section)}")
    return Preference(label, str(section), good.sample(), bad.sample())


def _answer(label: str, row: Mapping[str, Any], judged: bool, read: Callable[[Any, str], float]) -> Judged:
    names = _RATING if read is _rating else _LABEL
    name = _present(row, names, label)
    try:
        value = read(plain(row[name]), name)
    except DataError as error:
        raise DataError(f"{label}: {error}") from None
    return Judged(label, _only(parse_row(row, label, judged=judged), "responses").sample(), value)


def _present(row: Mapping[str, Any], names: Iterable[str], label: str) -> str:
    """The first of the columns that the row has."""
    first, *others = names
    for name in (first, *others):
        if not absent(row.get(name)):
            return name
    if null := next((name for name in (first, *others) if name in row), None):
        raise DataError(f"{label}: field {null!r} is null")
    more = "".join(f" (or {name!r})" for name in others)
    raise DataError(f"{label}: field {first!r}{more} is missing (the row has: {', '.join(map(str, list(row)[:8]))})")


def _only(records: Sequence[Record], name: str) -> Record:
    if len(records) > 1:
        raise DataError(f"{records[0].label}: field {name!r} has {len(records)} texts; write a row for each of them")
    return records[0]


def _rating(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"field {name!r} must be a number, not {json_type(value)}")
    return float(value)


def _binary(value: Any, name: str) -> float:
    known = _BINARY.get(str(value).strip().lower())
    if known is None:
        raise DataError(f"field {name!r} must be 0 or 1 (or true or false), not {json_type(value)}")
    return known


def _check_values_differ(answers: Sequence[Judged], kind: DataKind, source: str) -> None:
    values = {answer.value for answer in answers}
    if len(values) == 1:
        (value,) = values
        wanted = f"add rows with label {1 - value:g}" if kind == "labels" else "add rows that people rated otherwise"
        word = "label" if kind == "labels" else "rating"
        raise DataError(
            f"{source}: all {len(answers)} rows have {word} {value:g}, so nothing can be told apart; {wanted}"
        )
