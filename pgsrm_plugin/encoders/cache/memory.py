"""Embedding cache: by text and encoder identity, within a bound of memory, and on disk if wanted."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from pgsrm_plugin.encoders.cache import DiskCacheSpec
from pgsrm_plugin.encoders.cache.disk import DiskCache
from pgsrm_plugin.encoders.cache.shards import Embedded
from pgsrm_plugin.errors import PgsrmError, ScorerError, without_texts
from pgsrm_plugin.types import Embeddings, Encoder, OnePassEncoder, TokenEncoder

_OVERHEAD_BYTES = 300
"""Python's cost of one entry, beside the vector and the text."""


class Sources(NamedTuple):
    """How many distinct texts were computed, and how many were found in memory and on disk."""

    computed: int
    memory: int
    disk: int


class Looked(NamedTuple):
    """What a call has of its distinct texts.

    Attributes:
        found: the embedding of each.
        states: the token states (T, D) of those that were computed now, if they were asked for.
        sources: where the embeddings came from.
    """

    found: dict[str, Embedded]
    states: dict[str, torch.Tensor]
    sources: Sources


class _Kept(NamedTuple):
    embedded: Embedded
    states_TD: torch.Tensor | None = None


class CachedEncoder:
    """Embeds each text once: within a call always, between calls as far as ``limit_mb`` reaches (oldest use goes).

    The texts that are new to a call reach the encoder once each, sorted, so that the vectors do not depend on the order
    or the multiplicity of the rows. What is found again, in memory or on ``disk``, has the bits that it had.
    Token states, as large as many vectors, are kept in memory of the texts that the caller names.

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
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._disk = DiskCache(disk.folder, disk.max_mb, encoder.identity) if disk is not None else None

    def embed(self, texts: Sequence[str]) -> tuple[dict[str, Embedded], Sources]:
        """The embedding of every distinct text, and where they came from.

        Raises:
            ScorerError: the encoder failed, or returned a wrong shape, a value that is not finite, or a zero vector.
        """
        looked = self.look_up(texts, states=False)
        return looked.found, looked.sources

    def look_up(self, texts: Sequence[str], states: bool) -> Looked:
        """As :meth:`embed`; with ``states``, the token states of new texts too, from the same pass."""
        identity = self.encoder.identity
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        found = {text: kept.embedded for text in distinct if (kept := self._kept.get((identity, text))) is not None}
        in_memory = len(found)
        unseen = [text for text in distinct if text not in found]
        if self._disk is not None and unseen:
            found |= self._disk.find(unseen)
        missing = [text for text in distinct if text not in found]
        new_states: dict[str, torch.Tensor] = {}
        if missing:
            embeddings, states_N = self._encode(missing, states)
            computed = _checked(missing, embeddings, identity)
            new_states = _checked_states(missing, states_N, identity) if states else {}
            found |= computed
        if len({embedded.vector_D.numel() for embedded in found.values()}) > 1:
            raise ScorerError(f"encoder {identity} changed the length of its vectors between two calls")
        if self._disk is not None and missing:
            self._disk.add(computed)
        with self._lock:
            for text in distinct:
                key = (identity, text)
                self._keep(key, self._kept.get(key, _Kept(found[text])))
        sources = Sources(len(missing), in_memory, len(distinct) - len(missing) - in_memory)
        return Looked(found, new_states, sources)

    def token_states(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """The token states (T, D), float32, of every distinct text: kept ones, the others computed.

        Raises:
            ScorerError: the encoder has no token states, failed, or returned a wrong number or a value not finite.
        """
        identity = self.encoder.identity
        distinct = sorted(set(texts))
        kept = {text: kept for text in distinct if (kept := self._kept.get((identity, text))) is not None}
        found = {text: one.states_TD for text, one in kept.items() if one.states_TD is not None}
        missing = [text for text in distinct if text not in found]
        if missing:
            with _reported(f"encoder {identity}", missing):
                states_N = _token_encoder(self.encoder).token_states(missing)
            found |= _checked_states(missing, states_N, identity)
        return found

    def keep_states(self, states: Mapping[str, torch.Tensor]) -> None:
        """Keeps token states of texts that were embedded and will come again, as far as the limit reaches."""
        with self._lock:
            for text, states_TD in states.items():
                key = (self.encoder.identity, text)
                if key in self._kept:
                    self._keep(key, self._kept[key]._replace(states_TD=states_TD))

    def flush(self) -> None:
        """Writes what the disk does not have yet; the end of the process does so too."""
        if self._disk is not None:
            self._disk.flush()

    def _encode(self, texts: Sequence[str], states: bool) -> tuple[Embeddings, list[torch.Tensor]]:
        with _reported(f"encoder {self.encoder.identity}", texts):
            return in_one_pass(self.encoder, texts) if states else (self.encoder.encode(texts), [])

    def _keep(self, key: tuple[str, str], kept: _Kept) -> None:
        """As the one used last."""
        if key in self._kept:
            self._bytes -= _size(key, self._kept.pop(key))
        self._kept[key] = kept
        self._bytes += _size(key, kept)
        while self._bytes > self._limit:
            self._bytes -= _size(*self._kept.popitem(last=False))


@contextlib.contextmanager
def _reported(who: str, texts: Sequence[str]) -> Iterator[None]:
    """Whatever an encoder raises is a ScorerError that quotes none of the texts."""
    try:
        yield
    except ScorerError as error:
        raise ScorerError(without_texts(str(error), texts)) from error
    except PgsrmError:
        raise
    except Exception as error:
        said = without_texts(f"{type(error).__name__}: {error}", texts)
        raise ScorerError(f"{who} failed: {said}") from error


def in_one_pass(encoder: Encoder, texts: Sequence[str]) -> tuple[Embeddings, list[torch.Tensor]]:
    """Vectors and token states; in two passes where the encoder cannot do it in one.

    Raises:
        ScorerError: the encoder has no token states.
    """
    if isinstance(encoder, OnePassEncoder):
        return encoder.encode_with_states(texts)
    return encoder.encode(texts), _token_encoder(encoder).token_states(texts)


def _token_encoder(encoder: Encoder) -> TokenEncoder:
    if not isinstance(encoder, TokenEncoder):
        raise ScorerError(f"encoder {encoder.identity} has no token states; bertscore needs kind: hf")
    return encoder


def _size(key: tuple[str, str], kept: _Kept) -> int:
    numbers = kept.embedded.vector_D.numel() + (0 if kept.states_TD is None else kept.states_TD.numel())
    return numbers * 4 + 4 * len(key[1]) + _OVERHEAD_BYTES


def _checked_states(texts: Sequence[str], states: Sequence[torch.Tensor], identity: str) -> dict[str, torch.Tensor]:
    # numpy: for one text's states torch would start all its threads, at many times the cost.
    if len(states) != len(texts) or not all(np.isfinite(states_TD.numpy()).all() for states_TD in states):
        raise ScorerError(f"encoder {identity} returned wrong or non-finite token states")
    return dict(zip(texts, states, strict=True))


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
