"""What a response would lose with each segment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pgsrm_plugin.credit.base import Kept, TextCredit


class LeaveOneOut(TextCredit):
    r"""The value of the response, less that of the response without a segment.

    :math:`c_k = \phi(y) - \phi(y \setminus k)`. Each segment is seen beside all others, so where it stands does not
    count. What is said twice has no credit: either can go.
    """

    kind: Literal["leave_one_out"] = "leave_one_out"
    others_say: ClassVar = ("loo", "ablation", "occlusion", "leave-one-out")

    def kept(self, segments: int, seed: int) -> list[Kept]:
        """All segments, and all but each."""
        whole = frozenset(range(segments))
        return [whole, *(whole - {one} for one in range(segments))]

    def credits(self, segments: int, seed: int, value: Mapping[Kept, float]) -> list[float]:
        """The differences."""
        whole, *without = self.kept(segments, seed)
        return [value[whole] - value[rest] for rest in without]
