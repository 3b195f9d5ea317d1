"""Embedding cache: vectors by text, for one encoder identity, within a bound of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pgsrm_plugin.errors import ScorerError
from pgsrm_plugin.types import Embeddings, Encoder

_OVERHEAD_BYTES = 300
"""Python's cost of one entry, beside the vector and the text."""


@dataclass(frozen=True)
class Embedded:
    """One text's embedding; see :class:`~pgsrm_plugin.types.Embeddings`."""

    vector_D: torch.Tensor
    tokens: int
    truncated: bool


class CachedEncoder:
    """Embeds each text once: within a call always, between calls as far as ``limit_mb`` reaches (oldest use goes).

    The texts that are new to a call reach the encoder once each, sorted, so that the vectors do not depend on the order
    or the multiplicity of the rows.
    """

    def __init__(self, encoder: Encoder, limit_mb: float) -> None:
        self.encoder = encoder
        self._limit = limit_mb * 2**20
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], Embedded] = OrderedDict()

    def embed(self, texts: Sequence[str]) -> tuple[dict[str, Embedded], int]:
        """The embedding of every distinct text, and how many of them had to be computed.

        Raises:
            ScorerError: the encoder failed, or returned a wrong shape or a value that is not finite.
        """
        identity = self.encoder.identity
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        found = {text: kept for text in distinct if (kept := self._kept.get((identity, text))) is not None}
        missing = [text for text in distinct if text not in found]
        if missing:
            found |= _checked(missing, self.encoder.encode(missing), identity)
        for text in distinct:
            self._keep((identity, text), found[text])
        return found, len(missing)

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
    vectors_ND = result.vectors_ND
    if vectors_ND.ndim != 2 or vectors_ND.shape[0] != len(texts):
        raise ScorerError(
            f"encoder {identity} returned vectors of shape {tuple(vectors_ND.shape)} for {len(texts)} texts; "
            f"expected ({len(texts)}, dimensions)"
        )
    broken = (~torch.isfinite(vectors_ND).all(dim=1)).nonzero().flatten().tolist()
    if broken:
        raise ScorerError(
            f"encoder {identity} returned a vector that is not finite for {len(broken)} of {len(texts)} texts, "
            f"the first of {len(texts[broken[0]])} characters; nothing was scored"
        )
    tokens, truncated = result.tokens_N.tolist(), result.truncated_N.tolist()
    # Each row is cloned, or one kept vector would keep the whole batch's storage alive.
    return {
        text: Embedded(vectors_ND[i].float().clone(), int(tokens[i]), bool(truncated[i]))
        for i, text in enumerate(texts)
    }
