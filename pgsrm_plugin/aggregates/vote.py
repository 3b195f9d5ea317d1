"""A vote of the terms on the responses of a group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.aggregates.base import Aggregate, Composed, ScoredRows, Weighed
from pgsrm_plugin.aggregates.sum import Sum


class Vote(Aggregate):
    r"""Every term gives its weight to the response that it finds best in the group (RewardAgent).

    :math:`R_i = \sum_k |w_k| v_{k,i} / \sum_k |w_k|` (arXiv 2502.19328, whose weights are 1.2, 1.1 and 1). With
    ``ballot: best`` the vote :math:`v` goes to the best response, and equal ones share it; with ``rank`` it is the
    share of the group's other responses that are worse, equal ones counted half, which still tells losers apart. In
    [0, 1]; only the order of a term's values counts, so terms need no common scale. A term votes on the rows on
    which it is on, and a row's votes are divided by the weights of those that are on there.
    """

    kind: Literal["vote"] = "vote"
    others_say: ClassVar = ("majority", "rank", "borda")
    ballot: Literal["best", "rank"] = Field("best", description="best: all to the winner; rank: share of others beaten")
    suits: ClassVar = "GRPO and others that compare a group"

    @property
    def needs_groups(self) -> bool:
        """True."""
        return True

    def alone(self) -> Aggregate:
        """The sum: a response alone wins every vote."""
        return Sum()

    def compose(self, scored: ScoredRows) -> Composed:
        """Rewards of [0, 1]."""
        weights = {name: abs(one.weight) for name, one in scored.terms.items()}
        whole = [math.fsum(weights[name] for name in weights if scored.counts(name, row)) for row in scored.rows]
        parts = {name: [0.0] * len(scored.rows) for name in scored.terms}
        for name, one in scored.terms.items():
            if one.weight == 0:
                continue
            signed = [-value if one.lowers else value for value in scored.values[name]]
            for members in scored.members(name):
                votes = _BALLOTS[self.ballot]([signed[row] for row in members])
                for row, vote in zip(members, votes, strict=True):
                    parts[name][row] = weights[name] * vote / whole[row]
        return Composed([math.fsum(part[row] for part in parts.values()) for row in scored.rows], parts)

    def reach(self, terms: Mapping[str, Weighed]) -> tuple[float, float]:
        """From no vote to all."""
        return 0.0, 1.0


def _best(values: Sequence[float]) -> list[float]:
    most = max(values)
    return [float(value == most) / values.count(most) for value in values]


def _rank(values: Sequence[float]) -> list[float]:
    if len(values) == 1:
        return [1.0]
    beaten = [sum((other < value) + 0.5 * (other == value) for other in values) - 0.5 for value in values]
    return [wins / (len(values) - 1) for wins in beaten]


_BALLOTS = {"best": _best, "rank": _rank}
