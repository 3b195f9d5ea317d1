"""BERTScore (arXiv 1904.09675) with the reward's own encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.terms.base import QUANTISE, Grid, Needs, Term
from pgsrm_plugin.terms.pairs import Pair, best_over_references, quantised

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class BertScore(Term):
    r"""Greedy token matching with the encoder's own token states (F1), the best over the references.

    With unit states :math:`x_i` of the response and :math:`y_j` of the reference, recall is
    :math:`\frac{1}{|y|}\sum_j \max_i x_i \cdot y_j`, precision the same with roles exchanged. Unrelated text scores
    well above 0, so give that value as ``baseline`` :math:`b`: the score becomes :math:`\max(0, (F_1 - b)/(1 - b))`. No
    idf weighting; rounded to ``quantise``.
    """

    kind: Literal["bertscore"] = "bertscore"
    others_say: ClassVar = ("bert_score",)
    baseline: float = Field(0.0, ge=0.0, lt=1.0, description="score of unrelated text; rescaled to 0")
    quantise: Grid = Field(None, description=QUANTISE)

    def needs(self) -> Needs:
        """References and token states; vectors too, which tell the texts that the encoder knows nothing of."""
        return Needs(references=True, vectors=True, token_states=True)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        values = best_over_references(rows, lambda pairs: self._score(pairs, encoder))
        return values if self.quantise is None else quantised(values, self.quantise, self.bounds)

    def _score(self, pairs: Sequence[Pair], encoder: Embedder) -> Iterator[float]:
        texts = sorted({text for pair in pairs for text in pair})
        states = dict(zip(texts, encoder.token_states(texts), strict=True))
        for response, reference in pairs:
            similarity_RT = states[reference] @ states[response].T
            if similarity_RT.numel() == 0:
                yield 0.0
                continue
            recall = float(similarity_RT.max(dim=1).values.mean())
            precision = float(similarity_RT.max(dim=0).values.mean())
            f1 = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
            yield min(1.0, max(0.0, (f1 - self.baseline) / (1.0 - self.baseline)))
