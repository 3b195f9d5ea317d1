"""A deterministic toy encoder, for documentation and tests: hashed character n-grams."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pgsrm_plugin.encoders.base import EncoderSection

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embeddings, Encoder


class HashingEncoderSpec(EncoderSection):
    """A deterministic toy (hashed character n-grams), for documentation and tests. It knows no meaning."""

    kind: Literal["hashing"] = "hashing"
    dimensions: int = Field(256, ge=8, le=65536)
    ngram: int = Field(3, ge=1, le=8)

    def build(self) -> Encoder:
        """See :meth:`~pgsrm_plugin.encoders.base.EncoderSection.build`."""
        return HashingEncoder(self)


class HashingEncoder:
    """Counts character n-grams in hashed buckets: near means spelled alike, not meaning alike."""

    def __init__(self, spec: HashingEncoderSpec) -> None:
        self._spec = spec
        self.identity = f"hashing:n{spec.ngram}-d{spec.dimensions}"

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """One vector a text; the empty text is unknown. Tokens are words."""
        import torch

        from pgsrm_plugin.types import Embeddings

        vectors_ND = torch.zeros(len(texts), self._spec.dimensions)
        for row, text in enumerate(texts):
            padded = f" {text} " if text else ""
            starts = range(max(1, len(padded) - self._spec.ngram + 1)) if text else ()
            for start in starts:
                digest = hashlib.blake2b(padded[start : start + self._spec.ngram].encode(), digest_size=8).digest()
                bucket = int.from_bytes(digest, "big") % self._spec.dimensions
                vectors_ND[row, bucket] += 1.0
        return Embeddings(
            vectors_ND,
            torch.tensor([len(text.split()) for text in texts], dtype=torch.int64),
            torch.zeros(len(texts), dtype=torch.bool),
            unknown_N=~vectors_ND.any(dim=1),
        )
