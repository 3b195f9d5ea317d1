"""Entailment: response and reference do not follow from each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.encoders.entailment import Judgement
from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.terms.base import Needs

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder


class EntailmentGuard(Judgement, Guard):
    """Response and reference do not follow from each other, by an NLI cross-encoder.

    The violation is 1 less the worth of the pair: :class:`~pgsrm_plugin.encoders.entailment.Judgement`. ``cut`` is 1
    less what a pair keeps that does not follow. For statements against statements.
    """

    kind: Literal["entailment"] = "entailment"
    others_say: ClassVar = ("nli", "cross_encoder")
    also_known_as: ClassVar = {"floor": "write `cut`: 1 less the floor"}
    cut: float = Field(0.85, ge=0, le=1, description="what a whole violation takes away")

    def needs(self) -> Needs:
        """The cross-encoder."""
        return Needs(model=self.cross_encoder)

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        asked = [(pair.response, pair.reference) for pair in pairs]
        distinct = sorted(set(asked))
        values = dict(zip(distinct, self.follows(distinct, encoder), strict=True))
        return [Violation(1.0 - values[pair], (_said(values[pair]),)) if values[pair] < 1 else NONE for pair in asked]


def _said(worth: float) -> str:
    return f"follows: {worth:.2f}"
