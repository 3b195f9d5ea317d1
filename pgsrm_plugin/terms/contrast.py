"""Contrast: is the response nearer to its own reference than to other prompts' answers?"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pgsrm_plugin import functional
from pgsrm_plugin.spec.terms import ContrastSpec
from pgsrm_plugin.types import Embedder, PreparedRow


class Contrast:
    r"""The softmax weight of the reference among itself and the other answers, as in contrastive learning (InfoNCE).

    With :math:`c_y = \cos(e(\text{response}), e(y))`: :math:`e^{c_r/\tau} / (e^{c_r/\tau} + \sum_o e^{c_o/\tau})`, the
    best over the references. Where the response is another prompt's answer this is small, however near the two answers
    are. Others that equal one of the row's references are left out for that row.
    """

    bounds = (0.0, 1.0)
    penalty = False

    def __init__(self, spec: ContrastSpec) -> None:
        self._spec = spec

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        targets = [(row.response, text) for row in rows for text in (*row.references, *self._spec.others)]
        pairs = sorted(set(targets))
        known = dict(zip(pairs, embedder.cosine(pairs), strict=True))
        return [self._value(row, known) for row in rows]

    def _value(self, row: PreparedRow, known: dict[tuple[str, str], float]) -> float:
        others = [known[row.response, text] for text in sorted(set(self._spec.others) - set(row.references))]
        return max(
            functional.softmax_share(
                torch.tensor([known[row.response, reference], *others], dtype=torch.float64), self._spec.temperature
            )
            for reference in row.references
        )
