"""Likeness of the response to its prompt (R3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pgsrm_plugin.terms.base import Needs, Term

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class Relevance(Term):
    r"""Whether the response speaks of what was asked: the cosine of response and prompt.

    :math:`\max(0, \cos(e_y, e_x))`, the relevance of R3 (arXiv 2402.03469), which takes a dot product of Contriever's
    states. It needs no reference, and its best answer is the question itself: R3 saw 40 % copies, so add
    ``prompt_copy``. R3's length incentive is ``length: {mode: absolute, unit: words, min: 512}``.
    """

    kind: Literal["relevance"] = "relevance"
    others_say: ClassVar = ("on_topic", "prompt_similarity", "query_similarity")

    def needs(self) -> Needs:
        """Embeddings, of the prompts too."""
        return Needs(vectors=True, prompts=True)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        return [max(0.0, cos) for cos in encoder.cosine([(row.response.text, row.prompt) for row in rows])]
