"""Sentence BLEU, by sacrebleu (as in BLEUBERI's reward)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pgsrm_plugin.terms.base import Needs, Term
from pgsrm_plugin.text.words import spaced

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

    from pgsrm_plugin.types import Embedder, Row


class Bleu(Term):
    """Sentence BLEU against all references (sacrebleu, exponential smoothing), over 100.

    With effective order: a text shorter than four words is judged by the n-grams that it has. Of scripts without spaces
    (Chinese, Thai ...) each character is a word, as with sacrebleu's ``tokenize=zh``.
    """

    kind: Literal["bleu"] = "bleu"
    others_say: ClassVar = ("sacrebleu",)
    lowercase: bool = False

    guarded: ClassVar = True

    def needs(self) -> Needs:
        """References."""
        return Needs(references=True)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        bleu = _bleu(self.lowercase)
        return [_score(bleu, row) for row in rows]


def _score(bleu: BLEU, row: Row) -> float:
    score = bleu.sentence_score(spaced(row.response.text), list(map(spaced, row.targets))).score
    # BLEU knows no single best reference: what the guards leave of the most favourable one counts.
    return max(row.guarded([min(1.0, float(score) / 100)] * len(row.targets), 0.0))


@functools.cache
def _bleu(lowercase: bool) -> BLEU:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(lowercase=lowercase, smooth_method="exp", effective_order=True)
