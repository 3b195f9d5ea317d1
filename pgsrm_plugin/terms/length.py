"""Length, absolute or relative to the reference."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.spec.terms import LengthSpec
from pgsrm_plugin.types import Embedder, PreparedRow


class Length:
    r"""How well the length :math:`n` of the response fits, in [0, 1].

    Absolute: 1 within [min, max], :math:`n/\min` below, :math:`\max(0, 2 - n/\max)` above. Relative to a reference of
    length :math:`m`: :math:`e^{-|\ln(n/m)|} = \min(n/m, m/n)`, the best over the references (Semantic GRPO's code).
    Characters and words are counted before ``text.max_chars`` cuts, tokens after it.
    """

    bounds = (0.0, 1.0)
    penalty = False

    def __init__(self, spec: LengthSpec) -> None:
        self._spec = spec

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        lengths = self._measure([self._response(row) for row in rows], embedder)
        if self._spec.mode == "absolute":
            return [self._absolute(length) for length in lengths]
        targets = [self._measure(row.references, embedder) for row in rows]
        return [max(_ratio(length, n) for n in target) for length, target in zip(lengths, targets, strict=True)]

    def _response(self, row: PreparedRow) -> str:
        return row.response if self._spec.unit == "tokens" else row.uncut_response

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
