"""Where a row keeps its references and its ground truth: layouts as data, and the one reader of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pgsrm_plugin.data.files import json_type
from pgsrm_plugin.errors import DataError


@dataclass(frozen=True)
class Layout:
    """Columns, as dotted paths, in order: the first that a row has is taken.

    Attributes:
        references: objects whose ``reference`` or ``references`` are taken; "" is the row itself.
        ground_truth: columns of the ground truth.
        stand_in: columns of a ground truth that serves as the reference of a row without one.
        stand_in_with: a stand-in serves only rows in which this column is a non-empty object; "": all rows.
        answer: columns of the ground truth of rows without references; empty: ``ground_truth``.
        reference_field: a configured column of the references, before all others; each row must have it.
        ground_truth_field: a configured column of the ground truth, likewise.
    """

    references: tuple[str, ...]
    ground_truth: tuple[str, ...]
    stand_in: tuple[str, ...]
    stand_in_with: str = ""
    answer: tuple[str, ...] = ()
    reference_field: str | None = None
    ground_truth_field: str | None = None

    @property
    def columns(self) -> frozenset[str]:
        """The row's own columns that the layout reads."""
        paths = [*self.references, *self.ground_truth, *self.stand_in, *self.answer, self.stand_in_with]
        paths += [self.reference_field or "", self.ground_truth_field or ""]
        own = {"reference", "references"} if "" in self.references else set()
        return frozenset({path.split(".")[0] for path in paths if path} | own)


PLAIN = Layout(
    references=("", "reward_model", "extra_info"),
    ground_truth=("ground_truth", "reward_model.ground_truth"),
    stand_in=("ground_truth", "reward_model.ground_truth"),
    stand_in_with="reward_model",
)
"""The package's own files; verl's parquet is understood too."""
VERL = Layout(
    references=("reward_model", "extra_info"),
    ground_truth=("reward_model.ground_truth",),
    stand_in=("reward_model.ground_truth",),
)
"""verl's rows, whose ground truth is the correct answer."""
SEMANTIC = replace(VERL, answer=("extra_info.answer",))
"""verl's rows, whose ground truth without other references is an expert's explanation."""


class Targets(NamedTuple):
    """What a response is compared with."""

    references: tuple[str, ...]
    ground_truth: str | None


def read_targets(row: Mapping[str, Any], layout: Layout, found: tuple[str, ...] = (), online: bool = False) -> Targets:
    """The references and the ground truth of a row of plain values.

    Args:
        found: references from elsewhere, for a row that has none of its own.
        online: a parent will be asked for references, so no ground truth stands in for them.

    Raises:
        DataError: a column is of a wrong type, or a configured one is not there.
    """
    own = _required(row, layout.reference_field)
    references = texts(own, layout.reference_field or "") if not absent(own) else _references(row, layout.references)
    references = references or found
    truth = _truth(_required(row, layout.ground_truth_field), layout.ground_truth_field or "")
    if truth is None:
        truth = _first_truth(row, layout.ground_truth if references or not layout.answer else layout.answer)
    if not references and not online and (not layout.stand_in_with or _object(row, layout.stand_in_with)):
        stand_in = _first_truth(row, layout.stand_in)
        references = () if stand_in is None else (stand_in,)
    return Targets(references, truth)


def absent(value: Any) -> bool:
    """Null, or the NaN that pandas writes for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def texts(value: Any, name: str) -> tuple[str, ...]:
    """A text or a non-empty list of texts.

    Raises:
        DataError: it is something else; the message calls it by ``name``.
    """
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise DataError(f"field {name!r} must be text or a list of texts, not {json_type(value)}")
    if not value:
        raise DataError(f"field {name!r} is an empty list")
    for number, item in enumerate(value, 1):
        if not isinstance(item, str):
            raise DataError(f"field {name!r}: number {number} must be text, not {json_type(item)}")
    return tuple(value)


def _object(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name) if name else row
    return value if isinstance(value, Mapping) else {}


def _at(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _required(row: Mapping[str, Any], path: str | None) -> Any:
    value = _at(row, path) if path else None
    if path and value is None:
        raise DataError(f"there is no {path!r}, which pgsrm's settings name")
    return value


def _references(row: Mapping[str, Any], holders: tuple[str, ...]) -> tuple[str, ...]:
    for name in holders:
        holder, prefix = _object(row, name), f"{name}." if name else ""
        given = [key for key in ("reference", "references") if not absent(holder.get(key))]
        if len(given) == 2:
            raise DataError(f"fields '{prefix}reference' and '{prefix}references' are both given; keep one")
        if given:
            return texts(holder[given[0]], prefix + given[0])
    return ()


def _first_truth(row: Mapping[str, Any], columns: tuple[str, ...]) -> str | None:
    found = (_truth(_at(row, path), path) for path in columns)
    return next((truth for truth in found if truth is not None), None)


def _truth(value: Any, name: str) -> str | None:
    if absent(value):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise DataError(f"field {name!r} must be text or a number, not {json_type(value)}")
