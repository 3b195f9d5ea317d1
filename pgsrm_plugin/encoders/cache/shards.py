"""One safetensors file of embeddings: rows sorted by key, each with a digest of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

KEY_BYTES = 32
_DIGEST_BYTES = 16
_COLUMNS = {"keys", "vectors", "tokens", "flags", "digests"}


class ShardError(ValueError):
    """A file that is no sound shard."""


class Embedded(NamedTuple):
    """One text's embedding; see :class:`~pgsrm_plugin.types.Embeddings`. ``vector_D`` is float32."""

    vector_D: torch.Tensor
    tokens: int
    truncated: bool
    unknown: bool

    def digest(self, key: bytes) -> bytes:
        """Of the key and all values."""
        numbers = np.array([self.tokens, self.truncated, self.unknown], dtype="<i8").tobytes()
        return hashlib.blake2b(key + numbers + self.vector_D.numpy().tobytes(), digest_size=_DIGEST_BYTES).digest()


def pack_rows(rows: Mapping[bytes, Embedded]) -> bytes:
    """The content of a shard; all vectors have one length."""
    keys = sorted(rows)
    sorted_rows = [rows[key] for key in keys]
    return save(
        {
            "keys": _bytes_array(keys, KEY_BYTES),
            "vectors": torch.stack([row.vector_D for row in sorted_rows]).numpy().astype("<f4"),
            "tokens": np.array([row.tokens for row in sorted_rows], dtype="<i8"),
            "flags": np.array([row.truncated + 2 * row.unknown for row in sorted_rows], dtype="u1"),
            "digests": _bytes_array([rows[key].digest(key) for key in keys], _DIGEST_BYTES),
        }
    )


@dataclass(frozen=True)
class Shard:
    """A shard's path, and in memory eight bytes of each of its keys; the rest stays on disk until it is asked for."""

    path: Path
    prefixes_N: npt.NDArray[np.uint64]

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Reads the keys.

        Raises:
            ShardError: it is no shard, or cut off.
            OSError: it cannot be read (any more).
        """
        try:
            with safe_open(path, framework="numpy") as file:
                if set(file.keys()) != _COLUMNS:
                    raise ShardError(f"has the columns {sorted(file.keys())}")
                keys_NB = file.get_tensor("keys")
        except SafetensorError as error:
            raise ShardError(str(error)) from error
        if keys_NB.dtype != np.uint8 or keys_NB.ndim != 2 or keys_NB.shape[1] != KEY_BYTES:
            raise ShardError("has keys of a wrong shape")
        return cls(path, _prefixes(keys_NB))

    def rows(self, keys: Sequence[bytes]) -> dict[bytes, Embedded]:
        """The rows of those keys that are here.

        Raises:
            ShardError: one of them is not what was written.
            OSError: the file cannot be read (any more).
        """
        prefixes_K = _prefixes(_bytes_array(keys, KEY_BYTES))
        at_K = np.searchsorted(self.prefixes_N, prefixes_K).tolist()
        present_K = np.isin(prefixes_K, self.prefixes_N).tolist()
        hits = [i for i, present in enumerate(present_K) if present]
        if not hits:
            return {}
        try:
            with safe_open(self.path, framework="numpy") as file:
                columns = {name: file.get_tensor(name) for name in _COLUMNS}
        except SafetensorError as error:
            raise ShardError(str(error)) from error
        return dict(found for i in hits if (found := _row(columns, at_K[i], keys[i])) is not None)


def _row(columns: Mapping[str, npt.NDArray[Any]], number: int, key: bytes) -> tuple[bytes, Embedded] | None:
    if columns["keys"][number].tobytes() != key:
        return None
    flags = int(columns["flags"][number])
    # A copy, or one row would keep the whole shard in memory.
    vector_D = torch.tensor(columns["vectors"][number])
    row = Embedded(vector_D, int(columns["tokens"][number]), bool(flags & 1), bool(flags & 2))
    if columns["digests"][number].tobytes() != row.digest(key):
        raise ShardError("a row differs from its digest")
    return key, row


def _bytes_array(values: Sequence[bytes], width: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(values), dtype=np.uint8).reshape(len(values), width)


def _prefixes(keys_NB: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(keys_NB[:, :8]).view(">u8").reshape(-1).astype(np.uint64)
