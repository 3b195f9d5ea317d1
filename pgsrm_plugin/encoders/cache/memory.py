"""Embedding cache: vectors by text and encoder identity, within a bound of memory, and on disk if wanted."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch

from pgsrm_plugin.encoders.cache import DiskCacheSpec
from pgsrm_plugin.encoders.cache.disk import DiskCache
from pgsrm_plugin.encoders.cache.shards import Embedded
from pgsrm_plugin.errors import PgsrmError, ScorerError
from pgsrm_plugin.types import Embeddings, Encoder

_OVERHEAD_BYTES = 300
"""Python's cost of one entry, beside the vector and the text."""


class Sources(NamedTuple):
    """How many distinct texts were computed, and how many were found in memory and on disk."""

    computed: int
    memory: int
    disk: int


class CachedEncoder:
    """Embeds each text once: within a call always, between calls as far as ``limit_mb`` reaches (oldest use goes).

    The texts that are new to a call reach the encoder once each, sorted, so that the vectors do not depend on the order
    or the multiplicity of the rows. What is found again, in memory or on ``disk``, has the bits that it had.

    Args:
        encoder: what computes.
        limit_mb: memory for embeddings kept between calls, in MiB.
        disk: where they are kept between processes too.

    Raises:
        SpecError: the folder on disk cannot be written to.
    """

    def __init__(self, encoder: Encoder, limit_mb: float, disk: DiskCacheSpec | None = None) -> None:
        self.encoder = encoder
        self._limit = limit_mb * 2**20
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], Embedded] = OrderedDict()
        self._lock = threading.Lock()
        self._disk = DiskCache(disk.folder, disk.max_mb, encoder.identity) if disk is not None else None

    def embed(self, texts: Sequence[str]) -> tuple[dict[str, Embedded], Sources]:
        """The embedding of every distinct text, and where they came from.

        Raises:
            ScorerError: the encoder failed, or returned a wrong shape, a value that is not finite, or a zero vector.
        """
        identity = self.encoder.identity
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        found = {text: kept for text in distinct if (kept := self._kept.get((identity, text))) is not None}
        in_memory = len(found)
        unseen = [text for text in distinct if text not in found]
        if self._disk is not None and unseen:
            found |= self._disk.find(unseen)
        missing = [text for text in distinct if text not in found]
        if missing:
            computed = _checked(missing, self._encode(missing), identity)
            found |= computed
        if len({embedded.vector_D.numel() for embedded in found.values()}) > 1:
            raise ScorerError(f"encoder {identity} changed the length of its vectors between two calls")
        if self._disk is not None and missing:
            self._disk.add(computed)
        with self._lock:
            for text in distinct:
                self._keep((identity, text), found[text])
        return found, Sources(len(missing), in_memory, len(distinct) - len(missing) - in_memory)

    def flush(self) -> None:
        """Writes what the disk does not have yet; the end of the process does so too."""
        if self._disk is not None:
            self._disk.flush()

    def _encode(self, texts: Sequence[str]) -> Embeddings:
        try:
            return self.encoder.encode(texts)
        except PgsrmError:
            raise
        except Exception as error:  # whatever a user's encoder raises
            raise ScorerError(f"encoder {self.encoder.identity} failed: {type(error).__name__}: {error}") from error

    def _keep(self, key: tuple[str, str], embedded: Embedded) -> None:
        if key not in self._kept:
            self._kept[key] = embedded
            self._bytes += _size(key, embedded)
        self._kept.move_to_end(key)
        while self._bytes > self._limit:
            self._bytes -= _size(*self._kept.popitem(last=False))


def _size(key: tuple[str, str], embedded: Embedded) -> int:
    return embedded.vector_D.numel() * 4 + 4 * len(key[1]) + _OVERHEAD_BYTES


def _checked(texts: Sequence[str], result: Embeddings, identity: str) -> dict[str, Embedded]:
    if not isinstance(result, Embeddings):
        raise ScorerError(f"encoder {identity} returned a {type(result).__name__}; expected Embeddings")
    vectors_ND, count = result.vectors_ND, len(texts)
    if vectors_ND.ndim != 2 or vectors_ND.shape[0] != count:
        raise ScorerError(
            f"encoder {identity} returned vectors of shape {tuple(vectors_ND.shape)} for {count} texts; "
            f"expected ({count}, dimensions)"
        )
    unknown_N = torch.zeros(count, dtype=torch.bool) if result.unknown_N is None else result.unknown_N
    for name, value in (("tokens_N", result.tokens_N), ("truncated_N", result.truncated_N), ("unknown_N", unknown_N)):
        if tuple(value.shape) != (count,):
            raise ScorerError(f"encoder {identity} returned {name} of shape {tuple(value.shape)} for {count} texts")
    _refuse_rows(~torch.isfinite(vectors_ND).all(dim=1), "a vector that is not finite", texts, identity)
    _refuse_rows(~vectors_ND.any(dim=1) & ~unknown_N, "a vector of zeros", texts, identity)
    tokens, truncated, unknown = result.tokens_N.tolist(), result.truncated_N.tolist(), unknown_N.tolist()
    # Each row is cloned, or one kept vector would keep the whole batch's storage alive.
    return {
        text: Embedded(vectors_ND[i].float().clone(), int(tokens[i]), bool(truncated[i]), bool(unknown[i]))
        for i, text in enumerate(texts)
    }


def _refuse_rows(broken_N: torch.Tensor, what: str, texts: Sequence[str], identity: str) -> None:
    rows = broken_N.nonzero().flatten().tolist()
    if rows:
        raise ScorerError(
            f"encoder {identity} returned {what} for {len(rows)} of {len(texts)} texts, "
            f"the first of {len(texts[rows[0]])} characters; nothing was scored"
        )
