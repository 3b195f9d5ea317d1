"""Credit of a batch's segments: the altered texts of all responses, scored at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pgsrm_plugin.credit.alignment import spread
from pgsrm_plugin.credit.base import Credit, Kept, TextCredit
from pgsrm_plugin.credit.scored_part import scored_part
from pgsrm_plugin.credit.segments import segment
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.types import RewardOutput, RewardSample

Span = tuple[int, int]


@dataclass(frozen=True)
class Credited:
    """The segments of one response.

    Attributes:
        places: where each segment stands in the response: mostly one piece, several where something in between is not
            scored (thinking).
        credits: what each earned, in units of the reward.
    """

    places: Sequence[Sequence[Span]] = ()
    credits: Sequence[float] = ()


@dataclass(frozen=True)
class CreditOutput:
    """The credit of a batch.

    Attributes:
        rows: one a response; without segments where there are fewer than two, so nothing to share out.
        texts: how many altered texts were scored, the unaltered ones among them.
        stats: of that scoring; see :class:`~pgsrm_plugin.types.RewardOutput`.
    """

    rows: Sequence[Credited]
    texts: int
    stats: Mapping[str, float] = field(default_factory=dict)


def token_credit(credit: Credit, row: Credited, spans: Sequence[Span]) -> tuple[list[float], list[bool]]:
    """What each token's advantage is above its response's, without alpha, and whether it has credit at all.

    Args:
        spans: of each token, in the response.
    """
    shares, counted = spread(row.credits, row.places, spans)
    return credit.advantages(shares, counted), counted


@dataclass(frozen=True)
class _Plan:
    """Of one response: its segments, and the altered texts that its credit asks for."""

    places: list[list[Span]]
    seed: int
    texts: dict[Kept, str]


def credit_of(
    credit: TextCredit,
    samples: Sequence[RewardSample],
    spec: TextSpec,
    score: Callable[[Sequence[RewardSample]], RewardOutput],
) -> CreditOutput:
    """The credit of each response's segments.

    Equal responses have one plan, and equal rows get equal bits, as ``score`` gives them.

    Args:
        score: what a response is worth by itself.
    """
    plans = {sample.response: _planned(credit, sample.response, spec) for sample in samples}
    altered = [
        replace(sample, response=text, group=None, tokens=None)
        for sample in samples
        for text in plans[sample.response].texts.values()
    ]
    if not altered:
        return CreditOutput([Credited()] * len(samples), 0)
    output = score(altered)
    totals = iter(output.total_B.tolist())
    rows = []
    for sample in samples:
        plan = plans[sample.response]
        value = {kept: next(totals) for kept in plan.texts}
        rows.append(Credited(plan.places, credit.credits(len(plan.places), plan.seed, value)) if value else Credited())
    return CreditOutput(rows, len(altered), output.stats)


def _planned(credit: TextCredit, response: str, spec: TextSpec) -> _Plan:
    traced, beyond = scored_part(response, spec)
    spans = segment(traced.text, credit.segments, credit.max_segments)
    if len(spans) < 2:
        return _Plan([], 0, {})
    places = [traced.pieces(*span) for span in spans]
    seed = int.from_bytes(hashlib.sha256(traced.text.encode()).digest()[:8], "big")
    kept = dict.fromkeys(credit.kept(len(spans), seed))
    return _Plan(places, seed, {one: _without(response, places, one, beyond) for one in kept})


def _without(response: str, places: Sequence[Sequence[Span]], kept: Kept, beyond: Sequence[Span]) -> str:
    """The response without the segments that are not kept, nor what is too long; what else is not scored stays."""
    gone = [piece for number, pieces in enumerate(places) if number not in kept for piece in pieces]
    gone = sorted([*gone, *beyond])
    texts, place = [], 0
    for start, end in gone:
        texts.append(response[place : max(place, start)])
        place = max(place, end)
    return "".join([*texts, response[place:]])
