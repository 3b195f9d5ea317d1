"""Prompts to ask a parent: a .jsonl or .parquet file (verl's RL parquet too), or an installed task by its name.

A row has ``prompt`` (text or chat messages) and optionally ``item`` (or ``extra_info.item``: what the prompt is about,
so that no item ends up on both sides of a split), ``ground_truth`` (or ``reward_model.ground_truth``), ``data_source``,
``ability`` and ``extra_info``, all of which the export gives back, as it does other columns. References that it has are
not looked at.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from pgsrm_plugin.asking.store.answers import Request, as_messages
from pgsrm_plugin.data.files import json_type, plain, stream_rows
from pgsrm_plugin.data.rows import parse_row
from pgsrm_plugin.errors import DataError, did_you_mean
from pgsrm_plugin.text.clean import has_content, prompt_text
from pgsrm_plugin.types import Prompt


class Task(Protocol):
    """What a package gives under the entry-point group ``pgsrm.tasks``: a function without arguments returns one.

    A task may have ``truths`` too: by prompt, what decides whether an answer is right, where that is not the whole of
    the right answer (the letter of a choice).
    """

    @property
    def prompts(self) -> Sequence[str]:
        """All prompts, each once."""

    @property
    def held_out_prompts(self) -> Sequence[str]:
        """Those of them that are not trained on."""

    @property
    def expert(self) -> Mapping[str, str]:
        """The right answer of a prompt."""


@dataclass(frozen=True)
class PromptRow:
    """One row of the prompts; several rows may have one prompt, which is asked once.

    Attributes:
        prompt: text or chat messages whose contents are text.
        item: what the prompt is about; "" where the row does not say.
        ground_truth: the short correct answer, where the row has one; or several.
        extra_info: the row's own, passed through to the export.
        label: how messages call the row.
        columns: the row's others, passed through likewise.
    """

    prompt: Prompt
    item: str = ""
    ground_truth: str | tuple[str, ...] | None = None
    data_source: str = ""
    ability: str = ""
    extra_info: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt_id(self) -> str:
        return prompt_id(self.prompt)


def prompt_id(prompt: Prompt) -> str:
    """SHA-256 (hex) of the conversation; a text and one user message of that text are the same prompt."""
    canonical = json.dumps(as_messages(prompt), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_prompts(source: str | Path, seen: bool = False) -> Iterator[PromptRow]:
    """The rows of a file, one at a time, or of a task.

    Args:
        seen: whether whoever answers sees what stands beside the text; a parent that is asked text does not.

    Raises:
        DataError: it is neither a file nor a task, or a row is wrong; the message names file, line and field.
    """
    name = str(source)
    if name in _tasks():
        yield from _task_rows(name)
        return
    if Path(name).suffix not in (".jsonl", ".parquet"):
        tasks = _tasks()
        nearest = did_you_mean(name, tasks)
        raise DataError(f"{name} is neither a .jsonl or .parquet file nor a task{nearest} (tasks: {', '.join(tasks)})")
    for label, row in stream_rows(name):
        made = prompt_row(row, label)
        if not seen:
            _check_sight(made)
        yield made


def read_system(path: str | Path | None) -> str | None:
    """The system prompt that a file holds, without the white space around it; None for None.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    if path is None:
        return None
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"system prompt {path} cannot be read: {error}") from None
    if not text:
        raise DataError(f"system prompt {path} is empty")
    return text


def distinct(rows: Iterable[PromptRow], limit: int | None = None) -> Iterator[PromptRow]:
    """The first row of each prompt, of at most ``limit`` prompts."""
    seen: set[bytes] = set()

    def first(row: PromptRow) -> bool:
        digest = bytes.fromhex(row.prompt_id)[:16]
        return not (digest in seen or seen.add(digest))  # type: ignore[func-returns-value]

    return islice(filter(first, rows), limit)


def requests(rows: Iterable[PromptRow], samples: int, limit: int | None = None) -> Iterator[Request]:
    """``samples`` requests for each distinct prompt, in the order of the rows."""
    for row in distinct(rows, limit):
        for sample in range(samples):
            yield Request(row.prompt, sample, row.item)


def prompt_row(row: Mapping[str, Any], label: str) -> PromptRow:
    """One row of a file, checked.

    Raises:
        DataError: a field is missing or of a wrong type.
    """
    columns: dict[str, Any] = plain(row)
    (record,) = parse_row({name: columns[name] for name in columns if name not in _UNUSED}, label, responses=False)
    extra_info = columns.get("extra_info")
    if not isinstance(extra_info, dict | None):
        raise DataError(f"{label}: field 'extra_info' must be an object, not {json_type(extra_info)}")
    extra_info = extra_info or {}
    item = columns.get("item") if columns.get("item") is not None else extra_info.get("item")
    _check_prompt(record.prompt, label)
    return PromptRow(
        record.prompt,
        _named(item, "item", label),
        record.ground_truth,
        record.data_source,
        _named(columns.get("ability"), "ability", label),
        extra_info,
        label,
        _others(columns),
    )


_ANSWERS = frozenset({"reference", "references", "response", "responses"})
_UNUSED = _ANSWERS | {"group"}
_READ = frozenset({"prompt", "item", "ground_truth", "data_source", "ability", "extra_info", "reward_model"})
_EXPORTED = frozenset({"samples", "agreement", "weight", "parent"})
"""What an export says of a parent; of the parent that answered before, where a row was exported already."""


def _others(columns: Mapping[str, Any]) -> dict[str, Any]:
    left_out = _READ | _ANSWERS | (_EXPORTED if isinstance(columns.get("parent"), Mapping) else frozenset())
    return {name: value for name, value in columns.items() if name not in left_out}


_PLACEHOLDER = re.compile(r"<(image|video|audio)[ _]?\d{0,3}>")


def _check_sight(row: PromptRow) -> None:
    """Refuses a prompt with a placeholder for what stands in a column of its own.

    Raises:
        DataError: naming both.
    """
    held = {**row.extra_info, **row.columns}
    for placeholder in _PLACEHOLDER.finditer(prompt_text(row.prompt)):
        own = re.compile(rf"{placeholder[1]}s?(?:[ _]?\d{{1,3}})?")
        column = next((name for name, value in held.items() if value and own.fullmatch(name)), None)
        if column is not None:
            raise DataError(
                f"{row.label}: the prompt has {placeholder[0]}, and what it stands for is in the column {column!r}; a "
                "parent is asked text, and would answer without it: leave such rows out, or take over the answers of a "
                "model that sees with `pgsrm parent import`"
            )


def _check_prompt(prompt: Prompt, label: str) -> None:
    if not has_content(prompt_text(prompt)):
        raise DataError(f"{label}: field 'prompt' is empty")
    for number, message in enumerate([] if isinstance(prompt, str) else prompt, 1):
        if not isinstance(message["content"], str):
            raise DataError(
                f"{label}: field 'prompt': message {number} has parts (images?) as its content; a parent is asked text"
            )


def _named(value: Any, name: str, label: str) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if value is not None and value == value:  # pandas writes NaN for null
        raise DataError(f"{label}: field {name!r} must be text or an integer, not {json_type(value)}")
    return ""


def _tasks() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="pgsrm.tasks")}


def _task_rows(name: str) -> Iterator[PromptRow]:
    task: Task = _tasks()[name].load()()
    held_out = set(task.held_out_prompts)
    truths: Mapping[str, str] = {**task.expert, **getattr(task, "truths", {})}
    for number, prompt in enumerate(task.prompts, 1):
        split = "held_out" if prompt in held_out else "train"
        extra_info = {"split": split, "index": number - 1}
        yield PromptRow(
            prompt, "", truths.get(prompt), f"pgsrm/{name}", name, extra_info, f"task {name}: prompt {number}"
        )
