"""Entailment: whether response and reference follow from each other, by an NLI cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.encoders.entailment import Judgement
from pgsrm_plugin.terms.base import Needs, Term
from pgsrm_plugin.terms.pairs import best_over_references

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class Entailment(Judgement, Term):
    r"""Whether response and reference follow from each other, the best over the references.

    :math:`f + (1 - f) v` with ``floor`` :math:`f` and :math:`v` the worth of the pair:
    :class:`~pgsrm_plugin.encoders.entailment.Judgement`. For statements against statements: an answer of two words is
    no hypothesis, and NLI models do not see padding and loops.
    """

    kind: Literal["entailment"] = "entailment"
    others_say: ClassVar = ("nli", "cross_encoder")
    floor: float = Field(0.0, ge=0, lt=1, description="the least value: what a pair gets that does not follow")

    guarded: ClassVar = True

    @property
    def bounds(self) -> tuple[float, float]:
        """From ``floor`` to 1."""
        return self.floor, 1.0

    def needs(self) -> Needs:
        """References and the cross-encoder."""
        return Needs(references=True, model=self.cross_encoder)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [floor, 1]."""

        def worth(pairs: Sequence[tuple[str, str]]) -> list[float]:
            return [self.floor + (1 - self.floor) * value for value in self.follows(pairs, encoder)]

        return best_over_references(rows, worth, self.floor)
