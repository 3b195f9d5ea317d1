"""Claims: which of the reference's points are made, and which are not in it (after RM-NLHF, arXiv 2601.07349)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.terms.base import Needs, Term
from pgsrm_plugin.terms.pairs import Pair, best_over_references
from pgsrm_plugin.terms.points import points
from pgsrm_plugin.terms.semantic import FloorSpec, measured_floor

if TYPE_CHECKING:
    from pgsrm_plugin.types import Calibrated, Embedder, ReferencePairs, Row

_THRESHOLD = 0.7
_COMPARED = 16
"""Pairs of points of two references that a floor is measured on."""


class Claims(Term):
    r"""F of the reference's points that the response makes, matched one to one; the best over the references.

    Points are sentences and items of lists (:func:`pgsrm_plugin.terms.points.points`): :math:`u_1..u_n` of the
    response, :math:`v_1..v_m` of the reference. A pair with :math:`c_{ij} = \cos(e(u_i), e(v_j)) \ge \tau` is worth 1,
    with ``soft`` :math:`\max(0, (c_{ij} - f) / (1 - f))`, another pair 0. With :math:`M` the greatest sum of a
    one-to-one matching, :math:`P = M / n`, :math:`R = M / m` and :math:`F_\beta = (1 + \beta^2) P R / (\beta^2 P + R)`.
    :math:`\tau` is ``threshold``, else halfway from the floor :math:`f` to 1, else 0.7. A point said twice is matched
    once.
    """

    kind: Literal["claims"] = "claims"
    others_say: ClassVar = ("points", "key_points", "arguments", "nuggets")
    threshold: float | None = Field(
        None, gt=-1, le=1, description="least cosine of two points that match; default: floor + 0.5 (1 - floor), or 0.7"
    )
    floor: FloorSpec | None = Field(None, description="the cosine of unrelated points; see `pgsrm calibrate`")
    soft: bool = Field(False, description="count a match by its cosine above the floor, not as 1")
    beta: float = Field(1.0, gt=0, le=16, description="above 1, what is left out costs more than what is added")
    max_points: int = Field(64, ge=1, le=512, description="of a text; what is beyond is in the last one")

    guarded: ClassVar = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.threshold is not None and self.floor is not None and self.threshold <= self.floor.value:
            raise ValueError(
                f"threshold {self.threshold:g} is not above the floor {self.floor.value:g}, so unrelated points match; "
                "leave it out"
            )
        return self

    def needs(self) -> Needs:
        """References and vectors."""
        return Needs(references=True, vectors=True)

    def check_encoder(self, identity: str) -> None:
        """Refuses a floor that was measured with another encoder."""
        if self.floor is not None:
            self.floor.check_encoder(identity)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        return best_over_references(rows, lambda pairs: self._score(pairs, encoder))

    def calibrate(self, pairs: ReferencePairs, encoder: Embedder) -> Calibrated:
        """The floor: the mean cosine of points of unrelated references, up to 16 of each pair."""
        made = self._points(pairs.unrelated, encoder)
        beside = [
            pair
            for one, other in pairs.unrelated
            for pair in itertools.islice(itertools.product(made[one], made[other]), _COMPARED)
        ]
        return measured_floor(encoder.cosine(beside), pairs.encoder, "pairs of points of different prompts")

    def _score(self, pairs: Sequence[Pair], encoder: Embedder) -> Iterator[float]:
        from pgsrm_plugin.functional import f_measure, matched

        made = self._points(pairs, encoder)
        for response, reference in pairs:
            ours, theirs = made[response], made[reference]
            cosines = encoder.cosine(list(itertools.product(ours, theirs)))
            values = [self._worth(cos) for cos in cosines]
            total = matched([values[i * len(theirs) : (i + 1) * len(theirs)] for i in range(len(ours))])
            yield f_measure(total / len(ours), total / len(theirs), self.beta)

    def _points(self, pairs: Sequence[Pair], encoder: Embedder) -> dict[str, list[str]]:
        """The points of each text, embedded; a text of marks alone is its own."""
        texts = sorted({text for pair in pairs for text in pair})
        made = {text: points(text, self.max_points) or [text] for text in texts}
        encoder.embed(sorted({point for found in made.values() for point in found}))
        return made

    def _worth(self, cos: float) -> float:
        if cos < self._least:
            return 0.0
        return max(0.0, min(1.0, (cos - self._zero) / (1.0 - self._zero))) if self.soft else 1.0

    @property
    def _zero(self) -> float:
        return 0.0 if self.floor is None else self.floor.value

    @property
    def _least(self) -> float:
        if self.threshold is not None:
            return self.threshold
        return _THRESHOLD if self.floor is None else (1.0 + self.floor.value) / 2
