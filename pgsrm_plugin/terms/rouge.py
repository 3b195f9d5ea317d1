"""ROUGE, by rouge-score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgsrm_plugin.spec.terms import RougeSpec
from pgsrm_plugin.terms.ngrams import word_ngrams
from pgsrm_plugin.terms.pairs import Pair, best_over_references
from pgsrm_plugin.types import Embedder, PreparedRow


class _Words:
    """rouge-score's own tokenizer drops all but ASCII letters and digits, so other scripts would score 0."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def tokenize(self, text: str) -> list[str]:
        return [word for (word,) in word_ngrams(text, 1) if word[0].isalnum()][: self._limit]


class Rouge:
    """ROUGE F-measure of the best reference, on lower-case words of any script, without stemming."""

    bounds = (0.0, 1.0)
    penalty = False

    def __init__(self, spec: RougeSpec) -> None:
        from rouge_score.rouge_scorer import RougeScorer

        self._variant = spec.variant
        self._scorer = RougeScorer([spec.variant], tokenizer=_Words(spec.max_words))

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        return best_over_references(rows, self._score)

    def _score(self, pairs: Sequence[Pair]) -> Iterator[float]:
        for response, reference in pairs:
            yield float(self._scorer.score(reference, response)[self._variant].fmeasure)
