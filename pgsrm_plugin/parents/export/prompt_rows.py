"""The prompts' own rows, kept beside the answers in the store, so that an export has all that the prompts came with."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from pgsrm_plugin.data.whole import replacing
from pgsrm_plugin.errors import StoreError
from pgsrm_plugin.parents.generation.prompts import PromptRow

NAME = "prompts.jsonl"
_FIELDS = tuple(field.name for field in fields(PromptRow) if field.name not in ("label", "columns"))
_BYTES = "$bytes"
"""The one key of an object that stands for bytes, in base64."""


def keep_rows(folder: Path, rows: Iterable[PromptRow]) -> int:
    """Adds the rows that the store does not have yet; returns how many. The file is replaced at once, or stays.

    A row that stands several times in one source is kept as often; the same source again adds nothing.

    Raises:
        DataError: a row is wrong (the iteration raises it); nothing is kept then.
        StoreError: the file of rows is damaged, or the disk refuses.
    """
    path = folder / NAME
    known = {bytes.fromhex(entry["id"]) for entry in _entries(path)}
    seen: Counter[bytes] = Counter()
    added = 0
    try:
        with replacing(path, mode=0o600) as file:
            if path.exists():
                with path.open("rb") as old:
                    file.writelines(old)
            for row in rows:
                content, digest = _encode(row, seen)
                if digest not in known:
                    file.write(content)
                    added += 1
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from None
    return added


def kept_rows(folder: Path) -> Iterator[PromptRow]:
    """The rows in the order in which they came.

    Raises:
        StoreError: the file is damaged.
    """
    for number, entry in enumerate(_entries(folder / NAME), 1):
        columns = entry.get("columns", {})
        yield PromptRow(**{name: entry[name] for name in _FIELDS}, columns=columns, label=f"{NAME}:{number}")


def _encode(row: PromptRow, seen: Counter[bytes]) -> tuple[bytes, bytes]:
    columns = {name: getattr(row, name) for name in _FIELDS} | ({"columns": row.columns} if row.columns else {})
    canonical = json.dumps(columns, sort_keys=True, default=_plain)
    first = hashlib.sha256(canonical.encode()).digest()
    seen[first] += 1
    digest = hashlib.sha256(first + str(seen[first]).encode()).digest()[:16]
    return (json.dumps({"id": digest.hex(), **columns}, default=_plain) + "\n").encode(), digest


def _plain(value: Any) -> Any:
    return {_BYTES: base64.b64encode(value).decode()} if isinstance(value, bytes) else str(value)


def _revived(value: dict[str, Any]) -> Any:
    return base64.b64decode(value[_BYTES]) if value.keys() == {_BYTES} else value


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = json.loads(line, object_hook=_revived)
                missing = {"id", *_FIELDS} - entry.keys()
            except (ValueError, AttributeError):
                missing = {"id"}
            if missing:
                raise StoreError(f"{path}:{number} is damaged; delete the file and run `pgsrm parent generate` again")
            yield entry
