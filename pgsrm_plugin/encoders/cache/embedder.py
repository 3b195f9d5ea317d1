"""What the terms ask of the encoder during one batch, with every distinct text embedded once."""

from __future__ import annotations

import time
from collections.abc import Collection, Hashable, Mapping, Sequence

import torch

from pgsrm_plugin import functional
from pgsrm_plugin.asking.asked_once import AskedOnce
from pgsrm_plugin.asking.models import OwnModelSection
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.encoders.cache.shards import Embedded
from pgsrm_plugin.encoders.vocabulary import unknown_share, vocabulary_of
from pgsrm_plugin.errors import ScorerError
from pgsrm_plugin.policy.asked_policy import BoundReader
from pgsrm_plugin.text.words import count_words
from pgsrm_plugin.types import Question, Reply, Unread

_READ = Unread()
_NUMBERS = tuple(
    f"encoder/{name}" for name in ("texts", "texts_computed", "texts_from_memory", "texts_from_disk", "seconds")
)


class BatchEmbedder:
    """Satisfies :class:`~pgsrm_plugin.types.Embedder` for one batch.

    Args:
        cached: the encoder, or None for a spec without one.
        texts: all texts of the batch, embedded at once here.
        states: whether their token states will be asked for: new texts get both in one pass.
        lasting: the texts that will come again with other batches, whose states are kept till then.
        models: of terms and guards, by the sections that name them.
        readers: of who is asked about tokens, by the weights of the policy or the sections that name models.
    """

    def __init__(
        self,
        cached: CachedEncoder | None,
        texts: Sequence[str],
        states: bool = False,
        lasting: Collection[str] = (),
        models: Mapping[OwnModelSection, AskedOnce] | None = None,
        readers: Mapping[Hashable, BoundReader] | None = None,
    ) -> None:
        self._readers = dict(readers or {})
        self._cached = cached
        self._lasting = frozenset(lasting)
        self._known: dict[str, Embedded] = {}
        self._states: dict[str, torch.Tensor] = {}
        self._units: dict[str, torch.Tensor] = {}
        self._unread: dict[str, Unread] = {}
        self._blank: set[str] = set()
        self._models: Mapping[Hashable, AskedOnce] = dict((models or {}).items())
        self._cut: set[frozenset[str]] = set()
        self.stats = dict.fromkeys(_NUMBERS, 0.0)
        self._look_up(texts, states)
        for section in models or {}:
            numbers = (section.asked, f"{section.asked}_computed", "seconds")
            self.stats |= dict.fromkeys((f"{section.called}/{number}" for number in numbers), 0.0)

    def embed(self, texts: Sequence[str]) -> None:
        """See :meth:`pgsrm_plugin.types.Embedder.embed`."""
        self._look_up([text for text in texts if text not in self._known], states=False)

    def _look_up(self, texts: Sequence[str], states: bool) -> None:
        if self._cached is None or not texts:
            return
        started = time.perf_counter()
        found, new, sources = self._cached.look_up(texts, states)
        self._known |= found
        self._take(new)
        self._read(list(found))
        self._blank |= {text for text in found if not self.has_representation(text)}
        numbers = (len(found), *sources, time.perf_counter() - started)
        for name, number in zip(_NUMBERS, numbers, strict=True):
            self.stats[name] += float(number)

    def has_representation(self, text: str) -> bool:
        """False where the encoder said that it knows nothing of the text; true for one that it was not asked for."""
        return not self.unread(text).whole

    def unread(self, text: str) -> Unread:
        """What the encoder does not know of the text; nothing of one that it was not asked for, or cannot tell of."""
        known, unread = self._known.get(text), self._unread.get(text, _READ)
        return unread._replace(whole=True) if known is not None and known.unknown else unread

    def unknown_share(self, text: str) -> float:
        """The share of the text's words that the encoder does not know, in [0, 1]; 0 where it cannot tell."""
        return unknown_share(text, self.unread(text))

    def truncated(self, text: str) -> bool:
        """Whether the encoder read less than the whole text."""
        known = self._known.get(text)
        return known is not None and known.truncated

    def cosine(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """See :meth:`pgsrm_plugin.types.Embedder.cosine`."""
        if not pairs:
            return []
        if self._blank and not all(self._blank.isdisjoint(pair) for pair in pairs):
            some = iter(self.cosine([pair for pair in pairs if self._blank.isdisjoint(pair)]))
            return [next(some) if self._blank.isdisjoint(pair) else float(pair[0] == pair[1]) for pair in pairs]
        left_PD = torch.stack([self._known[left].vector_D for left, _ in pairs])
        right_PD = torch.stack([self._known[right].vector_D for _, right in pairs])
        cosines = functional.cosine(left_PD, right_PD).tolist()
        factors = self.unread_factors(pairs)
        return [float(cos) * factor if cos > 0 else float(cos) for cos, factor in zip(cosines, factors, strict=True)]

    def unread_factors(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """See :meth:`pgsrm_plugin.types.Embedder.unread_factors`; :func:`pgsrm_plugin.functional.unread_factor`."""
        if not self._unread:
            return [1.0] * len(pairs)
        return [self._unread_factor(left, right) for left, right in pairs]

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """See :meth:`pgsrm_plugin.types.Embedder.token_counts`."""
        counts = [self._known[text].tokens for text in texts]
        if any(count < 0 for count in counts):
            raise ScorerError("this encoder cannot count tokens; use unit: words or unit: chars")
        return counts

    def token_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """See :meth:`pgsrm_plugin.types.Embedder.token_states`."""
        assert self._cached is not None
        self._take(self._cached.token_states([text for text in texts if text not in self._states]))
        for text in set(texts) - self._units.keys():
            self._units[text] = functional.unit_rows(self._states[text])
        return [self._units[text] for text in texts]

    def ask(self, model: Hashable, questions: Sequence[Question]) -> list[Reply]:
        """See :meth:`pgsrm_plugin.types.Embedder.ask`."""
        assert isinstance(model, OwnModelSection)
        started = time.perf_counter()
        found, computed = self._models[model].judge(questions)
        self._cut |= {frozenset(question) for question, judged in found.items() if judged.truncated}
        for name, value in (
            (model.asked, len(found)),
            (f"{model.asked}_computed", computed),
            ("seconds", time.perf_counter() - started),
        ):
            self.stats[f"{model.called}/{name}"] += value
        return [found[question] for question in questions]

    def reader(self, scorer: Hashable) -> BoundReader:
        """See :meth:`pgsrm_plugin.types.Embedder.reader`."""
        return self._readers[scorer]

    def pair_truncated(self, one: str, other: str) -> bool:
        """Whether a model was asked about the two texts and read less than the whole of them."""
        return frozenset((one, other)) in self._cut

    def _take(self, states: Mapping[str, torch.Tensor]) -> None:
        assert self._cached is not None
        self._cached.keep_states({text: states_TD for text, states_TD in states.items() if text in self._lasting})
        self._states.update(states)

    def _read(self, texts: Sequence[str]) -> None:
        vocabulary = vocabulary_of(self._cached.encoder) if self._cached is not None else None
        if vocabulary is not None:
            found = zip(texts, vocabulary.unread(texts), strict=True)
            self._unread |= {text: unread for text, unread in found if unread.words}

    def _unread_factor(self, left: str, right: str) -> float:
        here, there = ([word.casefold() for word in self.unread(text).words] for text in (left, right))
        if here == there:
            return 1.0
        return functional.unread_factor(here, there, count_words(left) + count_words(right))
