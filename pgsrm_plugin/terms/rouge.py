"""ROUGE, by rouge-score."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.terms.base import Needs, Term
from pgsrm_plugin.terms.pairs import Pair, best_over_references
from pgsrm_plugin.text.words import words

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

    from pgsrm_plugin.types import Embedder, Row


class Rouge(Term):
    """ROUGE F-measure, the best over the references.

    On lower-case words of any script, without stemming.
    """

    kind: Literal["rouge"] = "rouge"
    others_say: ClassVar = ("rougel", "rouge_l", "rouge1", "rouge_1", "rouge2", "rouge_2")
    variant: Literal["rouge1", "rouge2", "rougeL"] = "rougeL"
    max_words: int = Field(512, ge=1, description="words read of each text; the time of rougeL is quadratic in them")

    guarded: ClassVar = True

    def needs(self) -> Needs:
        """References."""
        return Needs(references=True)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        return best_over_references(rows, self._score)

    def _score(self, pairs: Sequence[Pair]) -> Iterator[float]:
        scorer = _scorer(self.variant, self.max_words)
        for response, reference in pairs:
            yield float(scorer.score(reference, response)[self.variant].fmeasure)


class _Words:
    """rouge-score's own tokenizer drops all but ASCII letters and digits, so other scripts would score 0."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def tokenize(self, text: str) -> list[str]:
        return words(text)[: self._limit]


@functools.lru_cache(maxsize=16)
def _scorer(variant: str, max_words: int) -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([variant], tokenizer=_Words(max_words))
