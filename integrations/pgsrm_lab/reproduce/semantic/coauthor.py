"""The rewards in a co-author's public code (onepixac/grpo-mlx and onepixac/mlx-finetune-pipeline): two that differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.terms.base import Needs, Term

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class OnepixReward(Term):
    r"""Cosine and length, weighted as in the code of Semantic GRPO's co-author.

    With cosine :math:`c`, :math:`n` characters of the response and :math:`m` of the reference, ``grpo``:
    :math:`.7 c + .2 \min(n/10, 1) + .1 e^{-|\ln(n/m)|}`, and ``pipeline``:
    :math:`.7 \max(c, 0) + .2 \min(n, m)/\max(n, m) + .1 (1 - \min(|n - m|/m, 1))`. The best over the references. That
    code's loss, whose sign is wrong in one of the two, is no part of it.
    """

    kind: Literal["onepix"] = "onepix"
    form: Literal["grpo", "pipeline"]

    @property
    def bounds(self) -> tuple[float, float]:
        """A raw cosine may be below 0."""
        return (-0.7, 1.0) if self.form == "grpo" else (0.0, 1.0)

    def needs(self) -> Needs:
        """References and vectors."""
        return Needs(references=True, vectors=True)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values within :attr:`bounds`."""
        pairs = sorted({(row.response.text, target) for row in rows for target in row.targets})
        cosines = dict(zip(pairs, encoder.cosine(pairs), strict=True))
        value = blend if self.form == "grpo" else ratios
        return [
            max(value(float(cosines[text, target]), len(text), len(target)) for target in row.targets)
            for row in rows
            for text in [row.response.text]
        ]


def blend(cosine: float, length: int, reference: int) -> float:
    """Of grpo-mlx.

    >>> round(blend(0.8, 50, 100), 6), round(blend(-0.1, 5, 100), 6)
    (0.81, 0.035)
    """
    near = math.exp(-abs(math.log(length / reference))) if length and reference else 0.0
    return 0.7 * cosine + 0.2 * min(length / 10, 1.0) + 0.1 * near


def ratios(cosine: float, length: int, reference: int) -> float:
    """Of mlx-finetune-pipeline.

    >>> round(ratios(0.8, 50, 100), 6), round(ratios(-0.1, 5, 100), 6)
    (0.71, 0.015)
    """
    longer = max(length, reference)
    ratio = min(length, reference) / longer if longer else 0.0
    off = abs(length - reference) / reference if reference else 1.0
    return 0.7 * max(cosine, 0.0) + 0.2 * ratio + 0.1 * (1.0 - min(off, 1.0))
