"""Sentence BLEU, by sacrebleu (as in BLEUBERI's reward)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.terms.base import Needs, Term

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

    from pgsrm_plugin.types import Embedder, Row


class Bleu(Term):
    """Sentence BLEU against all references (sacrebleu, exponential smoothing), over 100.

    With effective order: a text shorter than four words is judged by the n-grams that it has.
    """

    kind: Literal["bleu"] = "bleu"
    lowercase: bool = False

    def needs(self) -> Needs:
        """References."""
        return Needs(references=True)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        bleu = _bleu(self.lowercase)
        return [min(1.0, bleu.sentence_score(row.response.text, list(row.targets)).score / 100) for row in rows]


@functools.cache
def _bleu(lowercase: bool) -> BLEU:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(lowercase=lowercase, smooth_method="exp", effective_order=True)
