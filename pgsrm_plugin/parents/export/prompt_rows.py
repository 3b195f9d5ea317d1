"""The prompts' own rows, kept beside the answers in the store, so that an export has all that the prompts came with."""

from __future__ import annotations

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
_FIELDS = tuple(field.name for field in fields(PromptRow) if field.name != "label")


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
        yield PromptRow(**{name: entry[name] for name in _FIELDS}, label=f"{NAME}:{number}")


def _encode(row: PromptRow, seen: Counter[bytes]) -> tuple[bytes, bytes]:
    columns = {name: getattr(row, name) for name in _FIELDS}
    canonical = json.dumps(columns, sort_keys=True, default=str)
    first = hashlib.sha256(canonical.encode()).digest()
    seen[first] += 1
    digest = hashlib.sha256(first + str(seen[first]).encode()).digest()[:16]
    return (json.dumps({"id": digest.hex(), **columns}, default=str) + "\n").encode(), digest


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = json.loads(line)
                missing = {"id", *_FIELDS} - entry.keys()
            except (ValueError, AttributeError):
                missing = {"id"}
            if missing:
                raise StoreError(f"{path}:{number} is damaged; delete the file and run `pgsrm parent generate` again")
            yield entry
