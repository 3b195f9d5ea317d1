"""Semantic similarity (PGSRM, arXiv 2512.06920; Semantic GRPO, arXiv 2509.13081)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pgsrm_plugin import functional
from pgsrm_plugin.spec.terms import SemanticSpec
from pgsrm_plugin.terms.pairs import distinct_pairs, quantised
from pgsrm_plugin.types import Embedder, PreparedRow


class Semantic:
    r"""Transformed cosine of response and reference; several references combine by max, mean or softmax.

    With references :math:`y_1..y_M` and transform :math:`T`: :math:`\max_m T(c_m)`, :math:`\frac{1}{M}\sum_m T(c_m)` or
    :math:`\sum_m \mathrm{softmax}(c/\tau)_m T(c_m)`, where :math:`c_m = \cos(e(\text{response}), e(y_m))`. With
    ``quantise`` the result is rounded to a grid (:func:`pgsrm_plugin.functional.quantise`).
    """

    penalty = False

    def __init__(self, spec: SemanticSpec) -> None:
        self._spec = spec
        self.bounds = (-1.0, 1.0) if spec.transform == "euclidean" else (0.0, 1.0)

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """Values in [0, 1] (euclidean: [-1, 1])."""
        pairs = distinct_pairs(rows)
        cosines = torch.tensor(embedder.cosine(pairs), dtype=torch.float64)
        known = {
            pair: (float(cos), float(value))
            for pair, cos, value in zip(pairs, cosines.tolist(), self._transform(cosines).tolist(), strict=True)
        }
        values = [self._combine([known[row.response, reference] for reference in row.references]) for row in rows]
        return values if self._spec.quantise is None else quantised(values, self._spec.quantise, self.bounds)

    def _transform(self, cos: torch.Tensor) -> torch.Tensor:
        spec = self._spec
        if spec.transform == "affine":
            return functional.affine(cos, spec.alpha)
        if spec.transform == "euclidean":
            return functional.euclidean(cos)
        if spec.transform == "calibrated":
            assert spec.floor is not None
            return functional.calibrated(cos, spec.floor.value, spec.alpha)
        return functional.clipped(cos, spec.alpha)

    def _combine(self, scored: Sequence[tuple[float, float]]) -> float:
        values = [value for _, value in scored]
        if self._spec.references == "max":
            return max(values)
        if self._spec.references == "mean":
            return sum(values) / len(values)
        cosines_M = torch.tensor([cos for cos, _ in scored], dtype=torch.float64)
        values_M = torch.tensor(values, dtype=torch.float64)
        return float(functional.softmax_mean(values_M, cosines_M, self._spec.temperature))
