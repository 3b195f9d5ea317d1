"""Rows of .jsonl and .parquet files, read with a label for each row and written atomically."""

from __future__ import annotations

import base64
import datetime
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pgsrm_plugin.data.faults import Faults
from pgsrm_plugin.data.whole import replacing
from pgsrm_plugin.errors import DataError, did_you_mean

EXTENSIONS = (".jsonl", ".parquet")
_FEW = 1024
"""Numbers of a row's array that are answers, and no picture."""


def read_rows(path: str | Path) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a file, each with its label: ``data.jsonl:17`` (the line) or ``data.parquet: row 3`` (from 1).

    Raises:
        DataError: the file is missing, unreadable, empty, corrupt, or not .jsonl or .parquet.
    """
    return list(stream_rows(path))


def stream_rows(path: str | Path, faults: Faults | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same, one after the other: a file need not fit into memory.

    Args:
        faults: collects the lines that are no rows, which are left out; None: the first one is an error.

    Raises:
        DataError: as :func:`read_rows`; a row that cannot be read is said when its turn comes.
    """
    path = Path(path).expanduser()
    _check_extension(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder; give one of the files in it")
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{path}: there is no such file{did_you_mean(path.name, siblings)}")
    found = False
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes)")
        for row in _jsonl_rows(path, faults) if path.suffix == ".jsonl" else _parquet_rows(path):
            found = True
            yield row
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if not found and not (faults and faults.count):
        raise DataError(f"{path} has no rows")


def check_output(path: str | Path) -> Path:
    """The path to write to, refused now rather than after the work.

    Raises:
        DataError: the extension is unknown, the folder does not exist or cannot be written, or the path is a folder.
    """
    path = Path(path).expanduser()
    _check_extension(path)
    path = path.resolve()
    if path.is_dir():
        raise DataError(f"{path} is a folder; give a file name")
    if not path.parent.is_dir():
        raise DataError(f"there is no folder {path.parent} to write {path.name} to; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DataError(f"the folder {path.parent} cannot be written to")
    return path


def check_columns(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuses, before the work, rows that the file could not hold: a parquet column has values of one type.

    Raises:
        DataError: naming the column.
    """
    if Path(path).suffix == ".parquet":
        _table(rows)


def write_rows(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes all rows or nothing: to a temporary file in the same folder, which then takes the path's place.

    Lone surrogates are kept as escapes in .jsonl and become U+FFFD in .parquet, which cannot hold them.

    Raises:
        DataError: the path is no place to write to, a parquet column would mix types, or the disk refuses.
    """
    path = check_output(path)
    try:
        with replacing(path) as file:
            if path.suffix == ".jsonl":
                file.writelines(_json_line(row) for row in rows)
            else:
                pq.write_table(_table(rows), file)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None
    except pa.ArrowException as error:
        raise DataError(f"{path} cannot be written as parquet: {error}; write .jsonl instead") from None


def plain(value: Any) -> Any:
    """The value with numpy arrays and scalars, at any depth, as lists and Python scalars.

    A float32 becomes the float with its shortest decimal: 0.7 and not 0.699999988, which nobody wrote.

    >>> plain({"a": np.array([np.int64(1), 2])})
    {'a': [1, 2]}
    """
    if isinstance(value, np.float32 | np.float16):
        return float(str(value))
    if isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float16) and value.size <= _FEW:
        return [plain(item) for item in value] if value.ndim else plain(value[()])
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _check_extension(path: Path) -> None:
    if path.suffix not in EXTENSIONS:
        # Of a name such as rows.jsonl.gz both parts say what it is; of my.rows.txt only the last one.
        packed = "".join(path.suffixes[-2:]) if path.suffix in (".gz", ".zst", ".bz2", ".xz", ".zip") else path.suffix
        advice = _CONVERSIONS.get(path.suffix.lower(), "")
        advice = advice or did_you_mean(path.suffix.lower(), EXTENSIONS)
        if path.is_dir() and any(path.glob("*.arrow")):
            advice = _CONVERSIONS[".arrow"]
        raise DataError(f"{path}: the extension must be .jsonl or .parquet, not {packed!r}{advice}")


_PANDAS = (
    '; convert it: python -c "import pandas; '
    "pandas.{}('FILE', dtype=str, keep_default_na=False).to_parquet('FILE.parquet')\""
)
_CONVERSIONS = {
    ".json": "; if it is one JSON array, write one object a line: jq -c '.[]' FILE.json > FILE.jsonl",
    ".csv": _PANDAS.format("read_csv"),
    ".tsv": _PANDAS.format("read_table"),
    ".arrow": "; it is of datasets' save_to_disk: datasets.load_from_disk(FOLDER).to_parquet('FILE.parquet')",
    **dict.fromkeys((".gz", ".zst", ".bz2", ".xz", ".zip"), "; unpack it first"),
}
"""How what people have becomes what is read."""


def _jsonl_rows(path: Path, faults: Faults | None) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            label = f"{path}:{number}"
            try:
                row = _json_row(line, label, first=number == 1)
            except DataError as error:
                if faults is None:
                    raise
                faults.add(error)
            else:
                if row is not None:
                    yield label, row


def _json_row(line: bytes, label: str, first: bool) -> dict[str, Any] | None:
    try:
        text = line.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{label}: not UTF-8 text (byte {error.start + 1} of the line)") from None
    return _json_object(text.rstrip(), label) if text.strip() else None


def _json_object(text: str, label: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        array = "; is the file one JSON array? one object a line is wanted" if text.lstrip().startswith("[") else ""
        raise DataError(f"{label}: not JSON ({error.msg}, column {error.colno}){array}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{label}: not usable JSON ({error})") from None
    if not isinstance(row, dict):
        array = "; if the file is one JSON array, write one object a line" if isinstance(row, list) else ""
        raise DataError(f"{label}: a row must be a JSON object {{...}}, not {json_type(row)}{array}")
    return row


def json_type(value: object) -> str:
    """A value's type as JSON calls it, with the value where it is short.

    >>> json_type(None), json_type([1]), json_type(2.5)
    ('null', 'a list', 'the number 2.5')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {str(value)[:40]}"
    names: dict[type, str] = {str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise DataError(f"{path}: column {twice[0]!r} is there twice")
            short = {field.name: field.type for field in file.schema_arrow if _has_short_floats(field.type)}
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    for name, kind in short.items():
                        row[name] = _shortest(row[name], kind)
                    yield f"{path}: row {number}", row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable parquet file, or a damaged one ({_first_sentence(error)})") from None


def _has_short_floats(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return any(_has_short_floats(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_float32(kind) or pa.types.is_float16(kind))


def _shortest(value: Any, kind: pa.DataType) -> Any:
    """The value with what was a float32 as the float with its shortest decimal."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        fields = (kind.field(i) for i in range(kind.num_fields))
        return {field.name: _shortest(value[field.name], field.type) for field in fields}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [_shortest(item, kind.field(0).type) for item in value] if len(value) <= _FEW else value
    if pa.types.is_float32(kind):
        return float(str(np.float32(value)))
    return float(str(np.float16(value))) if pa.types.is_float16(kind) else value


def _first_sentence(error: Exception) -> str:
    return str(error).split(". ")[0].strip().rstrip(".")


def _json_line(row: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(row, ensure_ascii=False, default=_json_default) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(row, default=_json_default) + "\n").encode()


def _json_default(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal | datetime.timedelta):
        return str(value)
    raise DataError(f"a value of type {type(value).__name__} cannot be written as JSON; write .parquet instead")


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({_encodable(name): _column(name, [row.get(name) for row in rows]) for name in names})


def _column(name: str, values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array([_encodable(plain(value)) for value in values])
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(
            f"column {name!r} mixes types, which parquet cannot hold ({_first_sentence(error)}); write .jsonl instead"
        ) from None


def _encodable(value: Any) -> Any:
    """The value with lone surrogates, at any depth, as U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
