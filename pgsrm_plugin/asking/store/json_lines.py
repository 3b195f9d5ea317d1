"""Stores of format version 1, whose answers were JSON lines."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from pgsrm_plugin.asking.store.answers import Answer
from pgsrm_plugin.asking.store.database import NAME, build
from pgsrm_plugin.errors import StoreError

MANIFEST = "manifest.json"
_LINE = re.compile(rb'\{"crc32":"([0-9a-f]{8})","bytes":[0-9]+,"answer":(.*)\}\n', re.DOTALL)


def segments(folder: Path) -> list[Path]:
    """The files of such a store, in the order in which they were written."""
    return sorted(folder.glob("answers-[0-9][0-9][0-9][0-9][0-9][0-9].jsonl"))


def convert(folder: Path) -> str:
    """Reads the answers into a database, and says so; the old files stay.

    Raises:
        StoreError: a line is damaged.
    """
    paths = segments(folder)
    build(folder / NAME, _answers(paths))
    return f"{folder}: converted to {NAME}; {paths[0].name} and the like are not read any more, and may be deleted"


def _answers(paths: list[Path]) -> Iterator[Answer]:
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                found = _LINE.fullmatch(line)
                if found is None and path == paths[-1] and not file.read(1):
                    return  # the last line was not written to its end
                if found is None or zlib.crc32(found[2]) != int(found[1], 16):
                    raise StoreError(f"{path}, line {number}: the record is damaged; delete the line, then repeat")
                yield Answer.from_json(found[2])
