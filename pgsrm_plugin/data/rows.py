"""Rows of a file as records: what was asked, what was answered, and what to compare it with.

A row has ``prompt`` (text or chat messages), ``response`` (text, or chat messages of which the assistant's last one
counts; or a list ``responses``), ``reference`` or ``references``, and optionally ``ground_truth``, ``data_source`` and
``group``. verl's RL parquet is understood too: there the ground truth is ``reward_model.ground_truth``, references may
stand in ``reward_model`` or ``extra_info``, and where there are none the ground truth is the reference. Other columns
pass through untouched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pgsrm_plugin.data.completions import chat_message, completion_text, is_messages
from pgsrm_plugin.data.faults import Faults
from pgsrm_plugin.data.files import check_columns, check_output, json_type, plain, stream_rows, write_rows
from pgsrm_plugin.data.layouts import PLAIN, Layout, absent, read_targets, required_at
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.types import Prompt, RewardSample

__all__ = ["Columns", "Record", "check_columns", "check_output", "parse_row", "read_records", "write_rows"]


@dataclass(frozen=True)
class Record:
    """One row, parsed.

    Attributes:
        row: the columns as they were read; where ``responses`` was a list, ``response`` takes its place.
        label: how messages call the row, e.g. ``data.jsonl:17``.
        response: None where responses were not asked for.
        ground_truth: as text, also where it was a number; several where any of them is right.
        stands_in: whether the ground truth serves as the reference, for want of another.
        own_group: the row's own group, if it has one.
    """

    row: Mapping[str, Any]
    label: str
    prompt: Prompt
    response: str | None
    references: tuple[str, ...]
    ground_truth: str | tuple[str, ...] | None
    data_source: str
    own_group: str | int | None
    stands_in: bool = False

    @cached_property
    def group(self) -> str | int:
        """The row's own group, or an id that the rows of one prompt share."""
        return _prompt_group(self.prompt) if self.own_group is None else self.own_group

    def sample(self, response: str | None = None) -> RewardSample:
        """What the reward scores: the given response, or the record's own."""
        response = self.response if response is None else response
        assert response is not None
        return RewardSample(
            self.prompt,
            response,
            self.references,
            self.ground_truth,
            data_source=self.data_source,
            group=self.group,
            columns=self.row,
        )


@dataclass(frozen=True)
class Columns:
    """Where rows keep what is scored, as dotted paths (``extra_info.answer``); None: at the usual place.

    Attributes:
        usual: the usual places of references and ground truth.
        special_tokens: dropped from responses, wherever they stand.
    """

    prompt: str | None = None
    response: str | None = None
    reference: str | None = None
    ground_truth: str | None = None
    usual: Layout = PLAIN
    special_tokens: tuple[str, ...] = ()

    @cached_property
    def layout(self) -> Layout:
        """Where references and ground truth are looked for."""
        return replace(self.usual, reference_field=self.reference, ground_truth_field=self.ground_truth)


def read_records(
    path: str | Path, *, responses: bool = True, columns: Columns | None = None, judged: bool = True
) -> list[Record]:
    """Reads a .jsonl or .parquet file; a row with a list of ``responses`` becomes one record each.

    Args:
        responses: whether rows must have a response (to score it), or are training prompts.
        columns: where rows keep what is scored.
        judged: whether anything looks at the ground truth; where nothing does, one that cannot be read is no error.

    Raises:
        DataError: the file cannot be read, or rows are wrong; the message names file, row and field of the first five,
            and counts the others.
    """
    faults, records = Faults(), []
    for label, row in stream_rows(path, faults):
        with faults.collect():
            records += parse_row(row, label, responses=responses, columns=columns, judged=judged)
    faults.check()
    return records


def parse_row(
    row: Mapping[str, Any],
    label: str,
    *,
    responses: bool = True,
    columns: Columns | None = None,
    judged: bool = True,
) -> list[Record]:
    """The records of one row: one, or one for each of its ``responses``; see :func:`read_records`."""
    with labelled(label):
        return list(_records(plain(row), label, responses, columns or Columns(), judged))


@contextlib.contextmanager
def labelled(label: str) -> Iterator[None]:
    """Errors in a row get the row's label."""
    try:
        yield
    except RecursionError:
        raise DataError(f"{label}: nested too deeply to be a row") from None
    except DataError as error:
        raise DataError(f"{label}: {error}") from None


def prompt_and_source(row: Mapping[str, Any]) -> tuple[Prompt, str]:
    """The columns ``prompt`` and ``data_source`` ("" where there is none) of a row of plain values.

    Raises:
        DataError: one is of a wrong type, or there is no prompt.
    """
    prompt, source = _prompt(_required(row, "prompt")), row.get("data_source")
    if not (absent(source) or isinstance(source, str)):
        raise DataError(f"field 'data_source' must be text, not {json_type(source)}")
    return prompt, source if isinstance(source, str) else ""


def _records(row: dict[str, Any], label: str, responses: bool, columns: Columns, judged: bool) -> Iterator[Record]:
    asked = row if columns.prompt is None else {**row, "prompt": required_at(row, columns.prompt)}
    prompt, source = prompt_and_source(asked)
    references, truth, stands_in = read_targets(row, columns.layout, judged=judged)
    record = Record(row, label, prompt, None, references, truth, source, _group(row.get("group")), stands_in)
    if not responses:
        yield record
    elif columns.response is not None:
        yield from _each(record, required_at(row, columns.response), columns.response, columns.special_tokens)
    elif absent(row.get("responses")):
        response = completion_text(_required(row, "response"), "field 'response'", columns.special_tokens)
        yield replace(record, response=response)
    else:
        if not absent(row.get("response")):
            raise DataError("fields 'response' and 'responses' are both given; keep one")
        yield from _each(record, row["responses"], "responses", columns.special_tokens)


def _each(record: Record, value: Any, name: str, special_tokens: tuple[str, ...]) -> Iterator[Record]:
    """A record for each of a list of responses, or one for the only one."""
    if not isinstance(value, list) or (is_messages(value) and not _are_single(value, name)):
        yield replace(record, response=completion_text(value, f"field {name!r}", special_tokens))
        return
    if not value:
        raise DataError(f"field {name!r} is an empty list")
    others = {key: item for key, item in record.row.items() if key not in ("response", "responses")}
    for number, item in enumerate(value, 1):
        text = completion_text(item, f"field {name!r}: number {number}", special_tokens)
        one = {**others, "response": text}
        yield replace(record, row=one, label=f"{record.label} (response {number})", response=text)


def _are_single(messages: list[dict[str, Any]], name: str) -> bool:
    """Whether a list of the assistant's messages only is one response each: in the column of several."""
    return name == "responses" and all(message["role"] == "assistant" for message in messages)


def _required(row: Mapping[str, Any], name: str) -> Any:
    if name not in row:
        names = ", ".join(str(key) for key in list(row)[:8])
        raise DataError(f"field {name!r} is missing (the row has: {names or 'nothing'})")
    if row[name] is None:
        raise DataError(f"field {name!r} is null")
    return row[name]


def _prompt(value: Any) -> Prompt:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise DataError(f"field 'prompt' must be text or a list of chat messages, not {json_type(value)}")
    if not value:
        raise DataError("field 'prompt' is an empty list")
    return [chat_message(message, number) for number, message in enumerate(value, 1)]


def _group(value: Any) -> str | int | None:
    if absent(value):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str | int) and not isinstance(value, bool):
        return value
    raise DataError(f"field 'group' must be text or an integer, not {json_type(value)}")


def _prompt_group(prompt: Prompt) -> str:
    canonical = json.dumps(prompt, sort_keys=True, default=str)
    return f"prompt:{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"
