"""A few of the user's rows, from files that are looked through first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.errors import DataError, did_you_mean
from pgsrm_verl.datafiles import paths
from pgsrm_verl.rehearsal.recipe import Recipe

LOOKED_AT = 512
"""Rows from which the shortest prompts are taken."""
LONGEST_PROMPT = 512
"""Tokens; longer prompts would make a rehearsal slow."""


@dataclass(frozen=True)
class Sample:
    """Rows taken from a file, and how long their prompts are in the stand-in's tokens."""

    source: Path
    table: pa.Table
    prompt_tokens: int


def data_file(recipe: Recipe, key: str) -> Path:
    """The first of the files at ``data.train_files`` or ``data.val_files``.

    Raises:
        DataError: it is missing, unreadable, or lacks the prompt column.
    """
    for path in _local_files(recipe, key):
        check_prompt_column(path, recipe.get("data.prompt_key") or "prompt")
    return local_file(recipe, key)


def local_file(recipe: Recipe, key: str) -> Path:
    """The same, whatever its columns.

    Raises:
        DataError: it, or another of the files, is missing or not on this machine.
    """
    return _local_files(recipe, key)[0]


def _local_files(recipe: Recipe, key: str) -> list[Path]:
    files = paths(recipe.get(key))
    if not files:
        raise DataError(f"{key} names no file")
    for name in files:
        path = Path(name).expanduser()
        if "://" in name:
            raise DataError(f"{key}: {name} is not on this machine; rehearse with a local file: {key}=rows.parquet")
        if not path.is_file():
            siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
            raise DataError(f"{key}: {name}: there is no such file{did_you_mean(path.name, siblings)}")
    return [Path(name).expanduser() for name in files]


def check_prompt_column(path: Path, column: str) -> None:
    """Refuses a file without the prompt column, or with prompts that are not chat messages.

    Raises:
        DataError: naming file, column and the columns that there are.
    """
    top = head(path, 1)
    if top.num_rows == 0:
        raise DataError(f"{path} has no rows")
    if column not in top.column_names:
        raise DataError(
            f"{path}: there is no column {column!r} (data.prompt_key){did_you_mean(column, top.column_names)} "
            f"(it has: {', '.join(top.column_names)})"
        )
    first = top[column][0].as_py()
    is_chat = isinstance(first, list) and all(isinstance(item, dict) and "role" in item for item in first)
    if not is_chat:
        raise DataError(
            f"{path}: row 1: column {column!r} must be a list of chat messages with role and content, as verl reads it"
        )


def head_texts(path: Path, column: str, count: int = 256) -> list[str]:
    """What stands in the first rows' prompts and references, for a tokenizer to be trained on."""
    rows = head(path, count).to_pylist()
    return [text for row in rows for text in _strings({name: row.get(name) for name in (column, "reward_model")})]


def take(path: Path, column: str, count: int, tokens: Callable[[Sequence[Mapping[str, Any]]], int]) -> Sample:
    """The ``count`` first rows of those with a prompt of at most :data:`LONGEST_PROMPT` tokens, over again if too few.

    Args:
        tokens: the length of a prompt.

    Raises:
        DataError: every prompt looked at is longer.
    """
    table = head(path, LOOKED_AT)
    lengths = [tokens(messages) for messages in table[column].to_pylist()]
    fitting = [number for number, length in enumerate(lengths) if length <= LONGEST_PROMPT]
    if not fitting:
        raise DataError(f"{path}: the first {len(lengths)} prompts all have more than {LONGEST_PROMPT} tokens")
    chosen = [fitting[number % len(fitting)] for number in range(count)]
    return Sample(path, table.take(chosen), max(lengths[number] for number in chosen))


def write(sample: Sample, path: Path) -> Path:
    pq.write_table(sample.table, path)
    return path


def head(path: Path, count: int) -> pa.Table:
    """The first rows of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                batches = list(islice(file.iter_batches(batch_size=count), 1))
                return pa.Table.from_batches(batches, schema=file.schema_arrow)
        return pa.Table.from_pylist([row for _, row in read_rows(path)[:count]])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix or 'a data file'}: {error}") from None


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _strings(item)]
    return []
