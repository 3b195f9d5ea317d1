"""Repetition within the response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.terms.base import Term
from pgsrm_plugin.text.words import word_ngrams

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class Repetition(Term):
    r"""The share of the response's word n-grams that repeat an earlier one: a fault, so weigh it negatively.

    :math:`1 - |\mathrm{distinct}| / |\mathrm{all}|`, one minus the unique-trigram ratio of R3 (arXiv 2402.03469): 0 for
    none and for a text shorter than n words, towards 1 for a loop.
    """

    kind: Literal["repetition"] = "repetition"
    others_say: ClassVar = ("repetition_penalty", "repeat", "ngram", "distinct")
    ngram: int = Field(3, ge=1, le=16)
    is_fault: ClassVar = True

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1)."""
        return [_repeated_share(row.response.uncut, self.ngram) for row in rows]


def _repeated_share(text: str, n: int) -> float:
    ngrams = word_ngrams(text, n)
    return 1.0 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0
