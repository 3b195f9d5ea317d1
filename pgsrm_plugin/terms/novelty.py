"""Novelty: how unlike the other responses to its prompt a response is (novelty search); logged, never paid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.terms.base import Needs, Term

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class Novelty(Term):
    r"""How unlike the nearest other responses to its prompt: an alarm for groups that collapse; logged, not paid.

    :math:`\frac{1}{k} \sum_{j \in N_k(i)} (1 - \max(0, \cos(e_i, e_j)))` over the :math:`k` nearest of the group's
    other scorable responses, fewer where there are fewer (novelty search, arXiv 2203.01027); 0 for a response without
    others. Paying it would pay for being wrong in a new way.
    """

    kind: Literal["novelty"] = "novelty"
    others_say: ClassVar = ("diversity", "novelty_search", "group_diversity")
    neighbours: int = Field(3, ge=1, le=64, description="the nearest others that count")

    is_diagnostic: ClassVar = True

    @property
    def needs_groups(self) -> bool:
        """Always: it is about the others."""
        return True

    def alone(self) -> Term:
        """0: there are no others."""
        return Lonely(**self.model_dump())

    def needs(self) -> Needs:
        """Embeddings."""
        return Needs(vectors=True)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """0 for each: a row alone has no others."""
        return [0.0] * len(rows)

    def score_groups(self, groups: Sequence[Sequence[Row]], encoder: Embedder) -> list[list[float]]:
        """Values in [0, 1]."""
        from pgsrm_plugin.functional import mean_distance
        from pgsrm_plugin.terms.pairs import cosines_within

        texts = [[row.response.text for row in group] for group in groups]
        cosines = cosines_within(texts, encoder)
        return [
            [
                mean_distance([cosines[text, other] for j, other in enumerate(own) if j != i], self.neighbours)
                for i, text in enumerate(own)
            ]
            for own in texts
        ]


class Lonely(Novelty):
    """The same where responses have no group."""

    @property
    def needs_groups(self) -> bool:
        """Never."""
        return False
