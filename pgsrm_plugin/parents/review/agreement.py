"""Self-consistency: how much the samples of a prompt mean the same under an encoder; kept beside the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, islice
from pathlib import Path

from pgsrm_plugin.asking.store.database import store_errors
from pgsrm_plugin.data.whole import write_whole
from pgsrm_plugin.encoders.cache.embedder import BatchEmbedder
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.errors import SpecError, StoreError
from pgsrm_plugin.parents.export.references import Answered
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.batch import prepare_reference
from pgsrm_plugin.types import Encoder

NAME = "agreement.json"
_BATCH = 256


@dataclass(frozen=True)
class Agreements:
    """Mean pairwise cosine of the samples of each prompt that has at least two.

    Attributes:
        encoder: the identity of the encoder that measured.
        values: in [-1, 1], by the digest of a prompt's references (:func:`references_digest`), so that a number never
            outlives the answers that it was measured on.
    """

    encoder: str
    values: Mapping[str, float]

    def of(self, answered: Answered) -> float | None:
        """None for a prompt with fewer than two references, or whose references are others by now."""
        return self.values.get(references_digest(answered.references))

    def save(self, folder: Path) -> None:
        content = {"encoder": self.encoder, "values": dict(self.values)}
        with store_errors(folder / NAME):
            write_whole(folder / NAME, json.dumps(content, separators=(",", ":")).encode(), mode=0o600)

    @classmethod
    def load(cls, folder: Path) -> Agreements | None:
        """None where nothing was measured yet.

        Raises:
            StoreError: the file is damaged.
        """
        path = folder / NAME
        try:
            content = json.loads(path.read_bytes())
            return cls(str(content["encoder"]), {key: float(value) for key, value in content["values"].items()})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{path} cannot be read ({error}); delete it, and `pgsrm parent check` writes it"
            ) from None


def references_digest(references: Iterable[str]) -> str:
    """32 hex digits of the references, in any order, repeats included."""
    parts = sorted(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in references)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:32]


def measure(
    prompts: Iterable[Answered],
    encoder: Encoder,
    text: TextSpec,
    known: Agreements | None = None,
    advance: Callable[[int], None] = lambda prompts: None,
) -> Agreements:
    """The agreement of every prompt with at least two references, in batches; what is ``known`` is not measured again.

    Equal references agree by 1. A reference that the encoder has no representation of agrees with others by 0.

    Raises:
        ScorerError: the encoder failed.
    """
    old = known.values if known is not None and known.encoder == encoder.identity else {}
    cached = CachedEncoder(encoder, limit_mb=0)
    values: dict[str, float] = {}
    several = ((references_digest(one.references), one) for one in prompts if len(one.references) > 1)
    for batch in _batches(several):
        values |= {digest: old[digest] for digest, _ in batch if digest in old}
        new = {digest: _prepared(one, text) for digest, one in batch if digest not in old}
        embedder = BatchEmbedder(cached, [text for texts in new.values() for text in texts if text])
        values |= {digest: pairwise(texts, embedder) for digest, texts in new.items()}
        advance(len(batch))
    return Agreements(encoder.identity, values)


def pairwise(texts: list[str], embedder: BatchEmbedder) -> float:
    """The mean cosine over all pairs of texts, in [-1, 1]."""
    known = [(a, b) for a, b in combinations(texts, 2) if a != b and _has(embedder, a) and _has(embedder, b)]
    equal = sum(a == b for a, b in combinations(texts, 2))
    return (sum(embedder.cosine(known)) + equal) / (len(texts) * (len(texts) - 1) / 2)


def encoder_of(spec: RewardSpec, name: str) -> Encoder:
    """The spec's encoder, loaded.

    Raises:
        SpecError: the spec has none.
    """

    if spec.encoder is None:
        raise SpecError(f"{name}: the spec has no encoder, and agreement is measured with one")
    return spec.encoder.build()


def _has(embedder: BatchEmbedder, text: str) -> bool:
    return bool(text) and embedder.has_representation(text)


def _prepared(answered: Answered, text: TextSpec) -> list[str]:
    return [prepare_reference(reference, text).text for reference in answered.references]


def _batches(several: Iterator[tuple[str, Answered]]) -> Iterator[list[tuple[str, Answered]]]:
    while batch := list(islice(several, _BATCH)):
        yield batch
