"""Length, absolute or relative to the reference."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.spec.terms import LengthSpec
from pgsrm_plugin.types import Embedder, PreparedRow


class Length:
    r"""How well the length :math:`n` of the response fits, in [0, 1].

    Absolute: 1 within [min, max], :math:`n/\min` below, :math:`\max(0, 2 - n/\max)` above. Relative to a reference of
    length :math:`m`: :math:`e^{-|\ln(n/m)|} = \min(n/m, m/n)`, the best over the references (Semantic GRPO's code).
    """

    bounds = (0.0, 1.0)
    penalty = False

    def __init__(self, spec: LengthSpec) -> None:
        self._spec = spec

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        texts = [text for row in rows for text in (row.response, *row.references)]
        lengths = dict(zip(texts, self._measure(texts, embedder), strict=True))
        if self._spec.mode == "absolute":
            return [self._absolute(lengths[row.response]) for row in rows]
        return [max(_ratio(lengths[row.response], lengths[text]) for text in row.references) for row in rows]

    def _measure(self, texts: Sequence[str], embedder: Embedder) -> list[int]:
        if self._spec.unit == "tokens":
            return embedder.token_counts(texts)
        return [len(text.split()) if self._spec.unit == "words" else len(text) for text in texts]

    def _absolute(self, length: int) -> float:
        if self._spec.min is not None and length < self._spec.min:
            return length / self._spec.min
        if self._spec.max is not None and length > self._spec.max:
            return max(0.0, 2.0 - length / self._spec.max)
        return 1.0


def _ratio(length: int, reference: int) -> float:
    return min(length, reference) / max(length, reference) if length and reference else 0.0
