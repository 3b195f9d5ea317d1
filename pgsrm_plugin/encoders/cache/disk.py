"""Embeddings on disk, shared by processes and runs: safetensors shards that are written whole and never changed."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import secrets
import threading
import time
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pgsrm_plugin.data.whole import TEMPORARY, write_whole
from pgsrm_plugin.encoders.cache.shards import Embedded, Shard, ShardError, pack_rows
from pgsrm_plugin.errors import SpecError

_FORMAT = 1
_LIBRARIES = ("torch", "transformers", "sentence-transformers")
SHARD_BYTES = 4 * 2**20
"""A process's newest shard grows (it is written anew with more rows) until it has this size."""
_FLUSH_S = 5.0
_STALE_S = 3600.0
_SUFFIX = ".safetensors"


class DiskCache:
    """Vectors by text for one encoder, in a folder that any number of processes may use at once.

    Under the folder there is one for each encoder identity (and version of the libraries that compute it), with shards
    of rows. A shard appears by an atomic rename, whole or not at all, and a row carries a digest of its key and values:
    what is torn or damaged is dropped and computed again. A text is kept as a digest only; its vector may still tell
    something of it, so folders and files are readable by their owner alone.

    New rows are written every few seconds and when the process ends. Past ``max_mb`` the shards that were used longest
    ago go, of all encoders. When the disk fails in a run, there is one warning, and nothing is written any more.

    Args:
        folder: made if it is not there.
        max_mb: bound for the whole folder, in MiB.
        identity: the encoder's.

    Raises:
        SpecError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, max_mb: float, identity: str) -> None:
        self._namespace = _namespace(identity)
        own = folder / hashlib.sha256(self._namespace).hexdigest()[:32]
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            own.mkdir(mode=0o700, exist_ok=True)
            write_whole(own / "identity.txt", self._namespace + b"\n", durable=False, mode=0o600)
        except OSError as error:
            raise SpecError(
                f"disk_cache.folder: {folder} cannot be written to ({error.strerror or error}); name a folder of your "
                "own, or remove disk_cache"
            ) from error
        self._folder = own
        self._lock = threading.Lock()
        self._shards: dict[str, Shard] = {}
        self._seen_ns = -1
        self._writer = _Writer(own, int(max_mb * 2**20))
        weakref.finalize(self, self._writer.flush)

    def find(self, texts: Sequence[str]) -> dict[str, Embedded]:
        """The rows of those texts that are on disk and sound."""
        keys = {self._key(text): text for text in texts}
        with self._lock:
            found = {keys[key]: row for key, row in self._writer.waiting(keys).items()}
            self._refresh()
            own_first = sorted(self._shards, key=lambda name: name not in self._writer.written)
            for name in own_first:
                wanted = [key for key, text in keys.items() if text not in found]
                if not wanted:
                    break
                found |= {keys[key]: row for key, row in self._read(name, wanted).items()}
        return found

    def add(self, rows: Mapping[str, Embedded]) -> None:
        """Takes rows by text; they are written now if the last writing is some seconds ago, else later."""
        with self._lock:
            self._writer.add({self._key(text): row for text, row in rows.items()})

    def flush(self) -> None:
        """Writes what is not written yet."""
        with self._lock:
            self._writer.flush()

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(self._namespace + b"\0" + text.encode("utf-8", "surrogatepass")).digest()

    def _refresh(self) -> None:
        """Sees shards that came or went; a folder's time changes with each."""
        with contextlib.suppress(OSError):
            changed_ns = self._folder.stat().st_mtime_ns
            if changed_ns == self._seen_ns:
                return
            names = {path.name for path in self._folder.glob(f"*{_SUFFIX}")}
            self._shards = {name: shard for name, shard in self._shards.items() if name in names}
            for name in sorted(names - self._shards.keys()):
                with self._dropping(name):
                    self._shards[name] = Shard.open(self._folder / name)
            # A change within the clock's grain of the last one would be missed: such a listing is not the last.
            self._seen_ns = changed_ns if time.time_ns() - changed_ns > 2 * 10**9 else -1

    def _read(self, name: str, wanted: Sequence[bytes]) -> dict[bytes, Embedded]:
        found: dict[bytes, Embedded] = {}
        with self._dropping(name):
            found = self._shards[name].rows(wanted)
            if found:
                os.utime(self._folder / name)
        return found

    @contextlib.contextmanager
    def _dropping(self, name: str) -> Iterator[None]:
        """A shard that another process evicted is forgotten; one that is damaged is also deleted."""
        try:
            yield
        except FileNotFoundError:
            self._shards.pop(name, None)
        except (ShardError, OSError) as error:
            self._shards.pop(name, None)
            if isinstance(error, ShardError):
                with contextlib.suppress(OSError):
                    (self._folder / name).unlink(missing_ok=True)
            warnings.warn(
                f"disk_cache: {self._folder / name} is left out ({error}); its texts are computed again", stacklevel=2
            )


class _Writer:
    """The rows of this process on their way to disk."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.written: set[str] = set()
        self._folder, self._limit = folder, limit
        self._waiting: dict[bytes, Embedded] = {}
        self._newest: tuple[Path, dict[bytes, Embedded]] | None = None
        self._last = -math.inf
        self._failed = False

    def waiting(self, keys: Iterable[bytes]) -> dict[bytes, Embedded]:
        """Those of the keys that are not written yet."""
        return {key: self._waiting[key] for key in keys if key in self._waiting}

    def add(self, rows: Mapping[bytes, Embedded]) -> None:
        """Takes rows, and writes when it is time."""
        if not self._failed:
            self._waiting |= rows
            if time.monotonic() - self._last >= _FLUSH_S or _size(self._waiting) >= SHARD_BYTES:
                self.flush()

    def flush(self) -> None:
        """Writes the rows that wait, together with those of the newest shard as long as that is small."""
        waiting, self._waiting = self._waiting, {}
        if not waiting or self._failed:
            return
        self._last = time.monotonic()
        old, kept = self._newest or (None, {})
        try:
            for rows in _portions(kept | waiting):
                path = self._folder / f"{secrets.token_hex(12)}{_SUFFIX}"
                write_whole(path, pack_rows(rows), durable=False, mode=0o600)
                self.written.add(path.name)
                self._newest = (path, rows) if _size(rows) < SHARD_BYTES else None
            if old is not None:
                old.unlink(missing_ok=True)
            evict(self._folder.parent, self._limit)
        except OSError as error:
            self._failed = True
            warnings.warn(
                f"disk_cache: {self._folder} cannot be written to any more ({error.strerror or error}); "
                "going on without writing to it, rewards are not affected",
                stacklevel=2,
            )


def evict(folder: Path, limit: int) -> None:
    """Deletes the shards used longest ago until the folder has at most ``limit`` bytes, and what a crash left over."""
    shards, now = [], time.time()
    for path in folder.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            if path.suffix == _SUFFIX:
                shards.append((found.st_mtime_ns, found.st_size, path))
            elif path.name.startswith(TEMPORARY) and now - found.st_mtime > _STALE_S:
                path.unlink(missing_ok=True)
    excess = sum(size for _, size, _ in shards) - limit
    for _, size, path in sorted(shards):
        if excess <= 0:
            break
        path.unlink(missing_ok=True)
        excess -= size


def _portions(rows: Mapping[bytes, Embedded]) -> Iterator[dict[bytes, Embedded]]:
    """The rows in shards of about :data:`SHARD_BYTES`, vectors of one length in each."""
    portion: dict[bytes, Embedded] = {}
    for key, row in sorted(rows.items(), key=lambda item: len(item[1].vector_D)):
        other = portion and len(next(iter(portion.values())).vector_D) != len(row.vector_D)
        if other or _size(portion) >= SHARD_BYTES:
            yield portion
            portion = {}
        portion[key] = row
    yield portion


def _size(rows: Mapping[bytes, Embedded]) -> int:
    return len(rows) * (rows[next(iter(rows))].vector_D.numel() * 4 + 57) if rows else 0


def _namespace(identity: str) -> bytes:
    """What a row's validity depends on, beside its text."""
    return "\n".join([f"format {_FORMAT}", *map(_release, _LIBRARIES), identity]).encode("utf-8", "surrogatepass")


def _release(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return f"{library} none"
