"""Merging stores and mending damaged ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pgsrm_plugin.parents.store import files
from pgsrm_plugin.parents.store.answers import Answer
from pgsrm_plugin.parents.store.segments import Line, read_lines, segment_paths
from pgsrm_plugin.parents.store.store import ParentStore

DAMAGED = "damaged"
"""The folder inside a store to which ``repair`` moves what cannot be read."""
_MERGED_AT_ONCE = 256


@dataclass(frozen=True)
class Repair:
    """What a repair did.

    Attributes:
        kept: intact records.
        moved: the files that hold what was damaged, with the segment and the line in their names.
    """

    kept: int
    moved: tuple[Path, ...]


def merge(target: ParentStore, source: ParentStore) -> int:
    """Takes over each answer of the source that is new to the target or better; returns how many.

    An ok answer beats a failure, else the one created later beats the earlier; merging twice changes nothing.

    Raises:
        StoreError: the target is not open for writing, or one of the two is damaged.
    """
    taken = 0
    batch: list[Answer] = []
    for answer in source.answers():
        own = target.get(answer.key)
        if own is None or answer.supersedes(own):
            batch.append(answer)
            taken += 1
        if len(batch) == _MERGED_AT_ONCE:
            target.extend(batch)
            batch = []
    target.extend(batch)
    return taken


def repair(folder: str | Path) -> Repair:
    """Moves the damaged records of a store into files of their own, byte for byte, and keeps all the others.

    Killed in between, it can be run again: a segment is replaced only when all of its new content is on the disk.

    Raises:
        StoreError: it is no store, or another process is writing to it.
    """
    path = Path(folder).expanduser()
    files.check_manifest(path)
    lock = files.WriterLock(path)
    try:
        kept, moved = 0, []
        for segment in segment_paths(path):
            damaged = _damaged(segment)
            moved += [_move_aside(segment, line) for line in damaged]
            if damaged:
                _rewrite(segment)
            kept += _count(segment)
        return Repair(kept, tuple(moved))
    finally:
        lock.release()


def _damaged(segment: Path) -> list[Line]:
    with segment.open("rb") as file:
        return [line for line in read_lines(file) if line.answer is None]


def _count(segment: Path) -> int:
    with segment.open("rb") as file:
        return sum(1 for _ in read_lines(file))


def _move_aside(segment: Path, line: Line) -> Path:
    folder = segment.parent / DAMAGED
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{segment.stem}-line-{line.number:06d}-{os.urandom(3).hex()}.bin"
    files.write_whole(target, line.content)
    return target


def _rewrite(segment: Path) -> None:
    temporary = segment.with_name(f".{segment.name}.tmp")
    temporary.unlink(missing_ok=True)
    fd = files.open_segment(temporary)
    try:
        with segment.open("rb") as file:
            for line in read_lines(file):
                if line.answer is not None:
                    files.append_all(fd, line.content, temporary)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, segment)
    files.sync_folder(segment.parent)
