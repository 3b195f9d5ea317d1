"""Prompt copying: relevance rewards alone teach a policy to echo the question (R3, arXiv 2402.03469)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.terms.base import Term
from pgsrm_plugin.text.words import word_ngrams

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class PromptCopy(Term):
    """The share of the response's word n-grams that stand in the prompt: a fault, so weigh it negatively.

    A response shorter than n words is one n-gram.
    """

    kind: Literal["prompt_copy"] = "prompt_copy"
    ngram: int = Field(3, ge=1, le=16)
    is_fault: ClassVar = True

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        return [_copied_share(row.response.text, row.prompt, self.ngram) for row in rows]


def _copied_share(response: str, prompt: str, ngram: int) -> float:
    n = min(ngram, max(1, len(word_ngrams(response, 1))))
    ngrams = word_ngrams(response, n)
    copied = set(word_ngrams(prompt, n))
    return sum(one in copied for one in ngrams) / len(ngrams) if ngrams else 0.0
