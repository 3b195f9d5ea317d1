"""The lines of a parent store's files, and how damage in them is told apart.

A line is ``{"crc32":"89abcdef","bytes":1234,"answer":{...}}``: JSON for other tools, with the length and the CRC-32 of
the bytes of the answer in front.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pgsrm_plugin.errors import StoreError
from pgsrm_plugin.parents.store.answers import Answer

_LINE = re.compile(rb'\{"crc32":"([0-9a-f]{8})","bytes":([0-9]{1,12}),"answer":(.*)\}\n', re.DOTALL)
_NAME = "answers-{:06d}.jsonl"
_PATTERN = re.compile(r"answers-(\d{6})\.jsonl")


@dataclass(frozen=True)
class Line:
    """One line of a segment.

    Attributes:
        offset: where it begins, in bytes.
        number: of the line, from 1.
        content: with its newline; without one, the file ended early.
        answer: None where the line is damaged.
    """

    offset: int
    number: int
    content: bytes
    answer: Answer | None

    @property
    def torn(self) -> bool:
        """Whether the line is what a write leaves that was cut short: no end, or blocks that never reached the disk."""
        return self.answer is None and (not self.content.endswith(b"\n") or b"\0" in self.content)


def encode(answer: Answer) -> bytes:
    """The line of an answer."""
    content = answer.to_json()
    return b'{"crc32":"%08x","bytes":%d,"answer":%s}\n' % (zlib.crc32(content), len(content), content)


def decode(line: bytes) -> Answer | None:
    """The answer of a line; None where the line is not what was written."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    crc, length, content = found.groups()
    if len(content) != int(length) or zlib.crc32(content) != int(crc, 16):
        return None
    try:
        return Answer.from_json(content)
    except StoreError:
        return None


def read_lines(file: BinaryIO, offset: int = 0, number: int = 1) -> Iterator[Line]:
    """The lines of an open segment from a place on, one in memory at a time."""
    file.seek(offset)
    for content in file:
        yield Line(offset, number, content, decode(content))
        offset += len(content)
        number += 1


def is_tail(file: BinaryIO, line: Line) -> bool:
    """Whether a torn line has nothing intact behind it.

    A line without its end was the last there was. To read it again could find it whole, where a writer is at it.
    """
    return not line.content.endswith(b"\n") or not any(after.answer for after in read_lines(file, line.offset))


def read_answer(path: Path, offset: int) -> Answer:
    """The answer at a known place.

    Raises:
        StoreError: it is not there any more.
    """
    with path.open("rb") as file:
        file.seek(offset)
        answer = decode(file.readline())
    if answer is None:
        raise StoreError(f"{path}: the answer at byte {offset} is damaged; run `pgsrm parent repair` on its store")
    return answer


def segment_paths(folder: Path) -> list[Path]:
    """The segments in the order in which they were written."""
    return sorted(path for path in folder.iterdir() if _PATTERN.fullmatch(path.name))


def segment_path(folder: Path, number: int) -> Path:
    return folder / _NAME.format(number)


def segment_number(path: Path) -> int:
    found = _PATTERN.fullmatch(path.name)
    assert found is not None
    return int(found[1])
