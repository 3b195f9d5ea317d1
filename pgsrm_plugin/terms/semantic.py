"""Semantic similarity (PGSRM, arXiv 2512.06920; Semantic GRPO, arXiv 2509.13081)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.section import Section
from pgsrm_plugin.terms.base import QUANTISE, Grid, Needs, Term
from pgsrm_plugin.terms.pairs import distinct_pairs, quantised

if TYPE_CHECKING:
    import torch

    from pgsrm_plugin.types import Calibrated, Embedder, ReferencePairs, Row


class FloorSpec(Section):
    """The cosine of unrelated texts under one encoder, as ``pgsrm calibrate`` measures it."""

    value: float = Field(ge=-1.0, lt=1.0)
    encoder: str = Field(description="identity of the encoder that it was measured with")
    pairs: int | None = Field(None, ge=1, description="mismatched pairs it was measured on")

    def check_encoder(self, identity: str) -> None:
        """Refuses another encoder than the one that it was measured with."""
        if self.encoder != identity:
            raise SpecError(
                f"floor was measured with encoder {self.encoder!r}, but this spec's encoder is {identity!r}; "
                "measure it again with `pgsrm calibrate DATA --spec SPEC`"
            )


def measured_floor(cosines: Sequence[float], encoder: str, what: str) -> Calibrated:
    """The ``floor`` that the cosines of unrelated texts give: their mean."""
    import statistics

    import numpy as np

    from pgsrm_plugin.types import Calibrated

    mean, middle, high = statistics.fmean(cosines), statistics.median(cosines), float(np.quantile(cosines, 0.95))
    said = f"{len(cosines)} {what}: mean cosine {mean:.4f}, median {middle:.4f}, 95th percentile {high:.4f}"
    return Calibrated({"floor": {"value": round(mean, 4), "encoder": encoder, "pairs": len(cosines)}}, said)


class Semantic(Term):
    r"""Similarity of response and reference in embedding space.

    With references :math:`y_1..y_M` and transform :math:`T`: :math:`\max_m T(c_m)`, :math:`\frac{1}{M}\sum_m T(c_m)` or
    :math:`\sum_m \mathrm{softmax}(c/\tau)_m T(c_m)`, where :math:`c_m = \cos(e(\text{response}), e(y_m))`. Guards
    apply to each :math:`T(c_m)`. With ``quantise`` the result is rounded to a grid
    (:func:`pgsrm_plugin.functional.quantise`).
    """

    kind: Literal["semantic"] = "semantic"
    others_say: ClassVar = ("cosine", "cosine_similarity", "similarity", "embedding", "sentence_similarity")
    transform: Literal["clipped", "affine", "euclidean", "calibrated"] = Field(
        "clipped",
        description="clipped: max(0, cos)^alpha (the PGSRM paper); affine: ((cos+1)/2)^alpha (its code); "
        "euclidean: 1 - distance; calibrated: max(0, (cos-floor)/(1-floor))^alpha",
    )
    alpha: float = Field(1.0, gt=0, le=64, description="sharpening exponent")
    floor: FloorSpec | None = Field(None, description="for calibrated; see `pgsrm calibrate`")
    references: Literal["max", "mean", "softmax"] = Field("max", description="how several references combine")
    temperature: float = Field(0.1, ge=1e-4, description="of the softmax over the references' cosines")
    quantise: Grid = Field(None, description=QUANTISE)

    guarded: ClassVar = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.transform == "calibrated" and self.floor is None:
            raise ValueError("transform: calibrated needs a floor; measure it with `pgsrm calibrate DATA --spec SPEC`")
        if self.transform != "calibrated" and self.floor is not None:
            raise ValueError(f"floor belongs to transform: calibrated, not to {self.transform}")
        if self.transform == "euclidean" and "alpha" in self.model_fields_set:
            raise ValueError("alpha has no meaning for transform: euclidean; remove it")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """[0, 1]; euclidean: [-1, 1]."""
        return (-1.0, 1.0) if self.transform == "euclidean" else (0.0, 1.0)

    def needs(self) -> Needs:
        """References and vectors."""
        return Needs(references=True, vectors=True)

    def check_encoder(self, identity: str) -> None:
        """Refuses a floor that was measured with another encoder."""
        if self.floor is not None:
            self.floor.check_encoder(identity)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values within :attr:`bounds`."""
        import torch

        pairs = distinct_pairs(rows)
        cosines = torch.tensor(encoder.cosine(pairs), dtype=torch.float64)
        known = {
            pair: (float(cos), float(value))
            for pair, cos, value in zip(pairs, cosines.tolist(), self._transform(cosines).tolist(), strict=True)
        }
        values = [self._combine(row, [known[row.response.text, target] for target in row.targets]) for row in rows]
        return values if self.quantise is None else quantised(values, self.quantise, self.bounds)

    def calibrate(self, pairs: ReferencePairs, encoder: Embedder) -> Calibrated:
        """The floor: the mean cosine of unrelated references."""
        return measured_floor(encoder.cosine(pairs.unrelated), pairs.encoder, "mismatched pairs")

    def _transform(self, cos: torch.Tensor) -> torch.Tensor:
        from pgsrm_plugin import functional

        if self.transform == "affine":
            return functional.affine(cos, self.alpha)
        if self.transform == "euclidean":
            return functional.euclidean(cos)
        if self.transform == "calibrated":
            assert self.floor is not None
            return functional.calibrated(cos, self.floor.value, self.alpha)
        return functional.clipped(cos, self.alpha)

    def _combine(self, row: Row, scored: Sequence[tuple[float, float]]) -> float:
        import torch

        from pgsrm_plugin import functional

        values = row.guarded([value for _, value in scored], self.bounds[0])
        if self.references == "max":
            return max(values)
        if self.references == "mean":
            return sum(values) / len(values)
        cosines_M = torch.tensor([cos for cos, _ in scored], dtype=torch.float64)
        values_M = torch.tensor(values, dtype=torch.float64)
        return float(functional.softmax_mean(values_M, cosines_M, self.temperature))
