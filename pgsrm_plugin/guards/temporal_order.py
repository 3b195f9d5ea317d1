"""Before and after: what came first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.reading import FUNCTION_WORDS, NEGATIONS, Reading, read_english

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder

_REACH = 8
_CUES = {
    "before": "before", "until": "before", "prior": "before", "ahead": "before", "earlier": "before",
    "after": "after", "afterwards": "after", "following": "after", "once": "after",
}  # fmt: skip


class TemporalOrder(Guard):
    """What stands before and after "before", "after", "until" and their like, on the wrong side (English).

    The content words within eight words to each side of such a word are its sides. With :math:`d` words more on the
    wrong sides than on the right ones: :math:`\\min(1, d / 2)`; "A before B" and "B after A" agree.
    """

    kind: Literal["temporal_order"] = "temporal_order"

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [_violation(pair) for pair in pairs]


def _violation(pair: Compared) -> Violation:
    both = read_english(pair.response, pair.reference)
    if both is None:
        return NONE
    response, reference = both
    worst, cues = 0, ("", "")
    for cue, before, after in _sides(reference):
        for other, other_before, other_after in _sides(response):
            same = len(before & other_before) + len(after & other_after)
            crossed = len(before & other_after) + len(after & other_before)
            if same == crossed:
                continue
            if (cue == other) == (same > crossed):
                return NONE
            if abs(same - crossed) > worst:
                worst, cues = abs(same - crossed), (other, cue)
    return Violation(min(1.0, worst / 2), cues) if worst else NONE


def _sides(reading: Reading) -> list[tuple[str, frozenset[str], frozenset[str]]]:
    """Each cue with the stems to its left and to its right."""
    found = []
    for i, word in enumerate(reading.words):
        if word in _CUES:
            left = range(max(0, i - _REACH), i)
            right = range(i + 1, min(len(reading.words), i + 1 + _REACH))
            found.append((_CUES[word], _content(reading, left), _content(reading, right)))
    return found


def _content(reading: Reading, places: range) -> frozenset[str]:
    return frozenset(
        reading.stems[place]
        for place in places
        if (word := reading.words[place])[0].isalnum() and word not in FUNCTION_WORDS and word not in NEGATIONS
    )
