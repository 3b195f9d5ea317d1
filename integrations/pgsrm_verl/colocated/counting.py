"""Encoders that count the tokens they embed, for verl's metrics."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pgsrm_plugin.encoders.cache.memory import in_one_pass
from pgsrm_plugin.encoders.vocabulary import vocabulary_of
from pgsrm_plugin.types import Embeddings, Encoder, TokenEncoder, Vocabulary


class CountingEncoder:
    """Satisfies :class:`~pgsrm_plugin.types.Encoder` by another one; ``tokens`` is the sum so far."""

    def __init__(self, inner: Encoder) -> None:
        self.inner = inner
        self.tokens = 0

    @property
    def identity(self) -> str:
        """The other encoder's."""
        return self.inner.identity

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The other encoder's."""
        return vocabulary_of(self.inner)

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """See :meth:`pgsrm_plugin.types.Encoder.encode`."""
        return self._counted(self.inner.encode(texts))

    def _counted(self, embeddings: Embeddings) -> Embeddings:
        self.tokens += int(embeddings.tokens_N.clamp(min=0).sum())  # -1: the encoder cannot know
        return embeddings


class CountingTokenEncoder(CountingEncoder):
    """The same for a :class:`~pgsrm_plugin.types.TokenEncoder`.

    A class of its own, since a runtime check of the protocol looks for the methods on the class (from Python 3.12 on).
    """

    inner: TokenEncoder

    def token_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """See :meth:`pgsrm_plugin.types.TokenEncoder.token_states`."""
        return self.inner.token_states(texts)

    def encode_with_states(self, texts: Sequence[str]) -> tuple[Embeddings, list[torch.Tensor]]:
        """See :meth:`pgsrm_plugin.types.OnePassEncoder.encode_with_states`."""
        embeddings, states = in_one_pass(self.inner, texts)
        return self._counted(embeddings), states


def counting(encoder: Encoder) -> CountingEncoder:
    """The encoder with a count, and with token states if it has them."""
    return CountingTokenEncoder(encoder) if isinstance(encoder, TokenEncoder) else CountingEncoder(encoder)
