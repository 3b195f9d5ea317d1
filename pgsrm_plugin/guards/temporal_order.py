"""Before and after: what came first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.reading import Reading, listed, read_english
from pgsrm_plugin.guards.english.sides import Sides, sides

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder

_LEFT_FIRST = listed(
    "before until till then prior ahead earlier precede precedes preceded preceding thereafter subsequently"
)
_RIGHT_FIRST = listed("after later following follow follows followed once since")
_COMPARED = listed("earlier later")
"""These say what came first only before "than"."""


class TemporalOrder(Guard):
    """What stands before and after "before", "after", "until", "then" and their like, on the wrong side (English).

    The content words within eight words to each side of such a word are its sides; where it opens a sentence, they are
    what stands before and after the comma, exchanged. The rule is broken where words of both sides stand on the wrong
    ones, and nowhere on the right ones; "A before B", "B after A" and "A is followed by B" agree.
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
    found = NONE
    said = list(_orders(response))
    for cue, is_left_first, expected in _orders(reference):
        for other, is_other_left_first, found_sides in said:
            agree = expected.agree(found_sides)
            if agree is None:
                continue
            if agree == (is_left_first == is_other_left_first):
                return NONE
            found = Violation(1.0, (other, cue))
    return found


def _orders(reading: Reading) -> Iterator[tuple[str, bool, Sides]]:
    """Each word that orders events, whether what is left of it came first, and its sides."""
    words = reading.words
    for i, word in enumerate(words):
        is_left_first = word in _LEFT_FIRST
        if not is_left_first and word not in _RIGHT_FIRST:
            continue
        following = words[i + 1] if i + 1 < len(words) else ""
        if word in _COMPARED and following != "than":
            continue
        if word in ("until", "till") and words[max(0, i - 3) : i] in (("it", "was", "not"), ("it", "is", "not")):
            continue  # "it was not until noon that he came"
        if (following == "by" and word in ("followed", "preceded")) or (
            word in ("until", "till") and (reading.negated[i] or words[max(0, i - 1)] == "not")
        ):
            is_left_first = not is_left_first  # "not until noon" is after noon
        yield word, is_left_first, sides(reading, i)
