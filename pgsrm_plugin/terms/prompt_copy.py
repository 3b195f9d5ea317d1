"""Prompt copying: relevance rewards alone teach a policy to echo the question (R3, arXiv 2402.03469)."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.spec.terms import PromptCopySpec
from pgsrm_plugin.terms.ngrams import word_ngrams
from pgsrm_plugin.types import Embedder, PreparedRow


class PromptCopy:
    """The share of the response's n-grams that stand in the prompt. A response shorter than n words is one n-gram."""

    bounds = (0.0, 1.0)
    penalty = True

    def __init__(self, spec: PromptCopySpec) -> None:
        self._n = spec.ngram

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        return [self._share(row) for row in rows]

    def _share(self, row: PreparedRow) -> float:
        n = min(self._n, max(1, len(word_ngrams(row.response, 1))))
        ngrams = word_ngrams(row.response, n)
        copied = set(word_ngrams(row.prompt, n))
        return sum(ngram in copied for ngram in ngrams) / len(ngrams) if ngrams else 0.0
