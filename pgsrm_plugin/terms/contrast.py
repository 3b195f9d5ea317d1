"""Contrast: is the response nearer to its own reference than to other prompts' answers?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.terms.base import Needs, Term

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class Contrast(Term):
    r"""How clearly the response is nearer to its reference than to the answers of other prompts.

    The softmax weight of the reference among itself and the other answers, as in contrastive learning (InfoNCE). With
    :math:`c_y = \cos(e(\text{response}), e(y))`: :math:`e^{c_r/\tau} / (e^{c_r/\tau} + \sum_o e^{c_o/\tau})`, the
    best over the references. Where the response is another prompt's answer this is small, however near the two answers
    are. Others that equal one of the row's references are left out for that row.
    """

    kind: Literal["contrast"] = "contrast"
    others: tuple[str, ...] = Field(min_length=1, description="answers to other prompts, embedded as they are written")
    temperature: float = Field(0.1, ge=1e-4, description="of the softmax over the cosines; lower: closer to 0 or 1")

    remedy: ClassVar = "remove it from others"

    def needs(self) -> Needs:
        """References and vectors, also of the other answers."""
        return Needs(references=True, vectors=True, texts=self.others)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        pairs = sorted({(row.response.text, text) for row in rows for text in (*row.targets, *self.others)})
        known = dict(zip(pairs, encoder.cosine(pairs), strict=True))
        return [self._value(row, known) for row in rows]

    def _value(self, row: Row, known: dict[tuple[str, str], float]) -> float:
        import torch

        from pgsrm_plugin.functional import softmax_share

        response = row.response.text
        others = [known[response, text] for text in sorted(set(self.others) - set(row.targets))]
        return max(
            softmax_share(torch.tensor([known[response, target], *others], dtype=torch.float64), self.temperature)
            for target in row.targets
        )
