"""Where a row keeps its references and its ground truth: layouts as data, and the one reader of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
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
        labels: columns, of those above, that may hold both: an object with ``reference`` or ``references`` and
            ``ground_truth``, or the JSON text of one. Where there are any, references may be numbers.
    """

    references: tuple[str, ...]
    ground_truth: tuple[str, ...]
    stand_in: tuple[str, ...]
    stand_in_with: str = ""
    answer: tuple[str, ...] = ()
    reference_field: str | None = None
    ground_truth_field: str | None = None
    labels: tuple[str, ...] = ()

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
_TRUTHS = ("ground_truth", "reward_model.ground_truth", "reward_spec.ground_truth")
_ANSWERS = ("answer", "solution", "target", "label")
STOCK = Layout(
    references=PLAIN.references,
    ground_truth=_TRUTHS,
    stand_in=(*_ANSWERS, *_TRUTHS),
    answer=(*_TRUTHS, *_ANSWERS),
    labels=(*_ANSWERS, *_TRUTHS),
)
"""Rows of any stack: what other libraries call the right answer is also the reference, for want of another."""


class Targets(NamedTuple):
    """What a response is compared with."""

    references: tuple[str, ...]
    ground_truth: str | tuple[str, ...] | None
    stands_in: bool = False
    """Whether the ground truth is the reference, for want of another."""


def read_targets(
    row: Mapping[str, Any],
    layout: Layout,
    found: tuple[str, ...] = (),
    online: bool = False,
    judged: bool = True,
) -> Targets:
    """The references and the ground truth of a row of plain values.

    Args:
        found: references from elsewhere, for a row that has none of its own.
        online: a parent will be asked for references, so no ground truth stands in for them.
        judged: whether anything looks at the ground truth; where nothing does, one that cannot be read is no error.

    Raises:
        DataError: a column is of a wrong type, or a configured one is not there.
    """
    if layout.labels:
        row, layout = _unfolded(row, layout)
    read = _truths if layout.labels else texts
    own = required_at(row, layout.reference_field)
    references = read(own, layout.reference_field or "") or _references(row, layout.references, read) or found
    try:
        truths = _truths(required_at(row, layout.ground_truth_field), layout.ground_truth_field or "")
        if not truths:
            truths = _first_truths(row, layout.ground_truth if references or not layout.answer else layout.answer)
    except DataError:
        if judged or not references:
            raise
        truths = ()
    stands_in = not references and not online and (not layout.stand_in_with or bool(_object(row, layout.stand_in_with)))
    if stands_in:
        try:
            references = _first_truths(row, layout.stand_in)
        except DataError:
            if not layout.ground_truth_field:
                raise
            references = truths  # the user said where in it the answer is
    return Targets(references, truths if len(truths) > 1 else next(iter(truths), None), stands_in and bool(references))


def absent(value: Any) -> bool:
    """Null, or the NaN that pandas writes for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def texts(value: Any, name: str) -> tuple[str, ...]:
    """A text or a list of texts; none where it is absent or an empty list, which tables give rows that have none.

    Raises:
        DataError: it is something else; the message calls it by ``name``.
    """
    if absent(value):
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise DataError(f"field {name!r} must be text or a list of texts, not {json_type(value)}")
    for number, item in enumerate(value, 1):
        if not isinstance(item, str):
            raise DataError(f"field {name!r}: number {number} must be text, not {json_type(item)}")
    return tuple(value)


def _object(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name) if name else row
    if isinstance(value, str) and value.lstrip().startswith("{"):
        raise DataError(
            f"field {name!r} must be an object, and is the text of one ({value[:40]!r}); "
            f"read it with json.loads before the file is written"
        )
    return value if isinstance(value, Mapping) else {}


def _at(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def required_at(row: Mapping[str, Any], path: str | None) -> Any:
    """The value at a dotted path that the user named; None for None.

    Raises:
        DataError: there is none.
    """
    value = _at(row, path) if path else None
    if path and (absent(value) or (isinstance(value, list) and not value)):
        names = ", ".join(str(key) for key in list(row)[:8])
        raise DataError(f"there is no {path!r}, which the settings name (the row has: {names or 'nothing'})")
    return value


def column_texts(row: Mapping[str, Any], paths: Iterable[str]) -> dict[str, str]:
    """The values at dotted paths as texts; on its way a path may lead through the JSON text of an object.

    >>> column_texts({"kind": "open", "info": {"level": 3.0}}, ["kind", "info.level"])
    {'kind': 'open', 'info.level': '3'}

    Raises:
        DataError: one is missing, or neither text, number nor truth value.
    """
    return {path: value_text(_through(row, path), path) for path in paths}


def whole_text(row: Mapping[str, Any], path: str) -> str:
    """The value at a dotted path as text, or as JSON where it is none; empty where there is nothing.

    >>> whole_text({"info": {"rubric": ["short", "right"]}}, "info.rubric"), whole_text({}, "rubric")
    ('["short", "right"]', '')
    """
    value = _through(row, path)
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)


def value_text(value: Any, name: str) -> str:
    """A text, number or truth value as text, in the form in which ground truths are read.

    Raises:
        DataError: it is none of these; the message calls it by ``name``.
    """
    text = _truth(value, name)
    if text is None:
        raise DataError(f"field {name!r} is missing")
    return text


def _through(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return None
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _references(
    row: Mapping[str, Any], holders: tuple[str, ...], read: Callable[[Any, str], tuple[str, ...]]
) -> tuple[str, ...]:
    for name in holders:
        holder, prefix = _object(row, name), f"{name}." if name else ""
        given = [key for key in ("reference", "references") if not absent(holder.get(key)) and holder[key] != []]
        if len(given) == 2:
            raise DataError(f"fields '{prefix}reference' and '{prefix}references' are both given; keep one")
        if given:
            return read(holder[given[0]], prefix + given[0])
    return ()


_LABEL_KEYS = ("reference", "references", "ground_truth")


def _unfolded(row: Mapping[str, Any], layout: Layout) -> tuple[Mapping[str, Any], Layout]:
    """The row with what stands in its label's object as columns of their own; a column that it has already wins, but
    over none that is configured."""
    configured = (layout.reference_field, layout.ground_truth_field)
    for path in filter(None, (*configured, *layout.labels)):
        value = _at(row, path)
        if absent(value) or value == []:
            continue
        label = _label_object(value)
        if label is not None:
            break
        if path not in configured:
            return row, layout
    else:
        return row, layout
    assert path
    own = _without(row, path.split("."))
    if path in configured:
        own = {key: one for key, one in own.items() if key not in label}
        reference_field, truth_field = (None if field == path else field for field in configured)
        layout = replace(layout, reference_field=reference_field, ground_truth_field=truth_field)
    has_references = not (absent(own.get("reference")) and absent(own.get("references")))
    taken = {key for key in own if not absent(own[key])} | ({"reference", "references"} if has_references else set())
    return {**own, **{key: one for key, one in label.items() if key not in taken}}, layout


def _label_object(value: Any) -> Mapping[str, Any] | None:
    """A label that is an object with references or ground truth, or the JSON text of one."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, Mapping):
        return None
    return {key: value[key] for key in _LABEL_KEYS if key in value} or None


def _without(row: Mapping[str, Any], path: list[str]) -> dict[str, Any]:
    rest = {key: value for key, value in row.items() if key != path[0]}
    return rest if len(path) == 1 else {**rest, path[0]: _without(row[path[0]], path[1:])}


def _first_truths(row: Mapping[str, Any], columns: tuple[str, ...]) -> tuple[str, ...]:
    for path in columns:
        _object(row, path.split(".")[0] if "." in path else "")
        if truths := _truths(_at(row, path), path):
            return truths
    return ()


_DIGITS = 1000
TRUTH_KEYS = ("target", "targets", "answer", "answers", "value")
"""Keys of a ground truth that is a map; the first that it has is taken (Search-R1, TriviaQA)."""


def _truths(value: Any, name: str) -> tuple[str, ...]:
    """A ground truth as texts: one, or several any of which is right."""
    if isinstance(value, Mapping):
        also = value.get("aliases")
        if isinstance(also, list) and not absent(value.get("value")):
            return tuple(dict.fromkeys([*_truths(value["value"], name), *_truths(also, f"{name}.aliases")]))
        key = next((key for key in TRUTH_KEYS if not absent(value.get(key))), None)
        if key is None and any(not absent(item) for item in value.values()):
            keys = ", ".join(str(key) for key in list(value)[:8])
            raise DataError(
                f"field {name!r} must be text, a number or a list of them, not an object with {keys}; "
                f"name the place of the answer, e.g. --ground-truth-field {name}.{next(iter(value))} "
                "(verl: pgsrm.ground_truth_field)"
            )
        return () if key is None else _truths(value[key], f"{name}.{key}")
    if isinstance(value, list):
        return tuple(truth for item in value for truth in [_truth(item, name)] if truth is not None)
    truth = _truth(value, name)
    return () if truth is None else (truth,)


def _truth(value: Any, name: str) -> str | None:
    if absent(value):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < _DIGITS:
        return f"{value.normalize():f}"
    if isinstance(value, int) and abs(value) >= 10**_DIGITS:
        raise DataError(f"field {name!r} is a number of more than {_DIGITS} digits")
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise DataError(f"field {name!r} must be text or a number, not {json_type(value)}")
