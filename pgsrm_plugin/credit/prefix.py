"""What a response gained with each segment, in the order in which they were written (RED)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar, Literal

from pgsrm_plugin.credit.base import Kept, TextCredit


class Prefix(TextCredit):
    r"""The value of the response up to a segment, less that of the response before it.

    :math:`c_k = \phi(y_{\le k}) - \phi(y_{<k})`, after RED (arXiv 2411.08302), which cuts after each token. The credits
    add up to :math:`\phi(y) - \phi(\emptyset)`. The likeness of a beginning to a whole reference rises with its length,
    so early segments are paid too much: this suits rewards that judge a text as far as it goes.
    """

    kind: Literal["prefix"] = "prefix"
    others_say: ClassVar = ("red", "potential", "incremental")

    def kept(self, segments: int, seed: int) -> list[Kept]:
        """Every beginning, from none to all."""
        return [frozenset(range(end)) for end in range(segments + 1)]

    def credits(self, segments: int, seed: int, value: Mapping[Kept, float]) -> list[float]:
        """The differences."""
        values = [value[kept] for kept in self.kept(segments, seed)]
        return [after - before for before, after in pairwise(values)]
