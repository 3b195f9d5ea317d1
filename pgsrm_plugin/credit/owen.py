"""What each segment adds, on average over all orders in which the response could have come about (Shapley)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.credit.base import Kept, TextCredit
from pgsrm_plugin.credit.shapley import beginnings, coalitions, exact, permutations, sampled


class Owen(TextCredit):
    r"""Each segment's Shapley value: what it adds to a part of the response, averaged over all parts.

    After OSPO (arXiv 2601.08403), which calls it Shapley-Owen and looks at runs of neighbouring phrases only; its code
    leaves out the others without weighing the rest anew, so that its values do not add up and can change their order.
    These are the Shapley values themselves up to ``exact`` segments (:math:`2^n` texts); beyond, their estimate by
    orders in pairs, each with its reverse, drawn by the text. The credits add up to :math:`\phi(y) - \phi(\emptyset)`.
    """

    kind: Literal["owen"] = "owen"
    others_say: ClassVar = ("shapley", "ospo", "shapley_owen")
    exact: int = Field(6, ge=2, le=8, description="up to so many segments, every part of the response is scored")
    permutations: int = Field(8, ge=2, le=64, description="orders that are drawn for more segments; an even number")
    max_segments: int = Field(
        16, ge=2, le=64, description="of a response; the shortest are joined until it has no more"
    )

    @model_validator(mode="after")
    def _in_pairs(self) -> Self:
        if self.permutations % 2:
            raise ValueError(f"orders are drawn in pairs, so permutations must be even, not {self.permutations}")
        return self

    @property
    def most_texts(self) -> int:
        """Altered texts of one response, at most."""
        whole = 1 << min(self.exact, self.max_segments)
        return max(whole, self.permutations * (self.max_segments - 1) + 2 if self.max_segments > self.exact else 0)

    @property
    def fewer(self) -> str:
        """How to have fewer."""
        return "lower permutations, max_segments or exact"

    def kept(self, segments: int, seed: int) -> list[Kept]:
        """Every part, or the beginnings of the orders that are drawn."""
        if segments <= self.exact:
            return coalitions(segments)
        return beginnings(permutations(segments, self.permutations, seed))

    def credits(self, segments: int, seed: int, value: Mapping[Kept, float]) -> list[float]:
        """The Shapley values, or their estimates."""
        if segments <= self.exact:
            return exact(segments, value)
        return sampled(permutations(segments, self.permutations, seed), value)
