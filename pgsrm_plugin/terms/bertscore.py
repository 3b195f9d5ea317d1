"""BERTScore (arXiv 1904.09675) with the reward's own encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.terms.base import QUANTISE, Grid, Needs, Term
from pgsrm_plugin.terms.pairs import Pair, best_over_references, quantised

if TYPE_CHECKING:
    from pgsrm_plugin.types import Calibrated, Embedder, ReferencePairs, Row


class BertScore(Term):
    r"""Greedy token matching with the encoder's own token states, the best over the references.

    With unit states :math:`x_i` of the response and :math:`y_j` of the reference, recall is
    :math:`R = \frac{1}{|y|}\sum_j \max_i x_i \cdot y_j`, precision :math:`P` the same with roles exchanged, and
    :math:`F_\beta = (1 + \beta^2) P R / (\beta^2 P + R)`. Unrelated text scores well above 0, so give that value as
    ``baseline`` :math:`b`: the score becomes :math:`\max(0, (F - b)/(1 - b))`. No idf weighting; rounded to
    ``quantise``. Recall does not see what is said too much: take it with a limit of length and with repetition.
    """

    kind: Literal["bertscore"] = "bertscore"
    others_say: ClassVar = ("bert_score",)
    side: Literal["f1", "recall", "precision"] = Field(
        "f1", description="recall: is all of the reference said; precision: is all that is said in the reference"
    )
    beta: float = Field(1.0, gt=0, le=16, description="for f1: above 1, recall counts more")
    baseline: float = Field(0.0, ge=0.0, lt=1.0, description="score of unrelated text; rescaled to 0")
    quantise: Grid = Field(None, description=QUANTISE)

    guarded: ClassVar = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.side != "f1" and "beta" in self.model_fields_set:
            raise ValueError(f"beta has no meaning for side: {self.side}; remove it")
        return self

    def needs(self) -> Needs:
        """References and token states; vectors too, which tell the texts that the encoder knows nothing of."""
        return Needs(references=True, vectors=True, token_states=True)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        values = best_over_references(rows, lambda pairs: self._score(pairs, encoder))
        return values if self.quantise is None else quantised(values, self.quantise, self.bounds)

    def calibrate(self, pairs: ReferencePairs, encoder: Embedder) -> Calibrated:
        """The baseline: the mean score of unrelated references, each once as the response."""
        import statistics

        from pgsrm_plugin.types import Calibrated

        raw = self.model_copy(update={"baseline": 0.0})
        values = list(raw._score(pairs.unrelated, encoder))
        mean = statistics.fmean(values)
        said = f"{len(values)} mismatched pairs: mean {self.side} {mean:.4f}, highest {max(values):.4f}"
        return Calibrated({"baseline": round(min(mean, 0.9999), 4)}, said)

    def _score(self, pairs: Sequence[Pair], encoder: Embedder) -> Iterator[float]:
        from pgsrm_plugin.functional import dot_products

        texts = sorted({text for pair in pairs for text in pair})
        states = {text: one_TD.numpy() for text, one_TD in zip(texts, encoder.token_states(texts), strict=True)}
        for (response, reference), factor in zip(pairs, encoder.unread_factors(pairs), strict=True):
            similarity_RT = dot_products(states[reference], states[response])
            if similarity_RT.size == 0:
                yield 0.0
                continue
            recall = float(similarity_RT.max(axis=1).mean())
            precision = float(similarity_RT.max(axis=0).mean())
            value = factor * self._value(precision, recall)
            yield min(1.0, max(0.0, (value - self.baseline) / (1.0 - self.baseline)))

    def _value(self, precision: float, recall: float) -> float:
        if self.side != "f1":
            return recall if self.side == "recall" else precision
        from pgsrm_plugin.functional import f_measure

        return f_measure(precision, recall, self.beta)
