"""Repetition: one minus the distinct-n ratio (the unique-trigram ratio of R3, arXiv 2402.03469)."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.spec.terms import RepetitionSpec
from pgsrm_plugin.terms.ngrams import word_ngrams
from pgsrm_plugin.types import Embedder, PreparedRow


class Repetition:
    """The share of the response's n-grams that occurred before in it: 0 for none, towards 1 for a loop."""

    bounds = (0.0, 1.0)
    penalty = True

    def __init__(self, spec: RepetitionSpec) -> None:
        self._n = spec.ngram

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """Values in [0, 1); 0 for a text shorter than n words."""
        return [self._share(row.uncut_response) for row in rows]

    def _share(self, text: str) -> float:
        ngrams = word_ngrams(text, self._n)
        return 1.0 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0
