"""What stands on either side of a word: "Russia sold Alaska to America" and "America bought Alaska from Russia"."""

from __future__ import annotations

from typing import NamedTuple

from pgsrm_plugin.guards.english.reading import FUNCTION_WORDS, NEGATIONS, Reading

_REACH = 8
_ENDS = frozenset(".;!?")


class Sides(NamedTuple):
    """The stems of content to the left and to the right of a word, those that stand on both sides left out."""

    left: frozenset[str]
    right: frozenset[str]

    def agree(self, other: Sides) -> bool | None:
        """Whether the same words stand on the same sides; None where the words do not tell.

        Both sides must have a word in common, on the same sides or on exchanged ones.
        """
        same = _both(self.left & other.left, self.right & other.right)
        crossed = _both(self.left & other.right, self.right & other.left)
        return None if same == crossed else same > crossed


def sides(reading: Reading, place: int) -> Sides:
    """The sides of the word at a place, within eight words and one sentence.

    Where the word opens its sentence, what it governs reaches to the comma, and its left side is what follows: "before
    you paint the wall, clean it".
    """
    words = reading.words
    start = next((i + 1 for i in range(place - 1, -1, -1) if words[i] in _ENDS), 0)
    end = next((i for i in range(place + 1, len(words)) if words[i] in _ENDS), len(words))
    left, right = range(max(start, place - _REACH), place), range(place + 1, min(end, place + 1 + _REACH))
    comma = next((i for i in range(place + 1, end) if words[i] == ","), None)
    if comma is not None and not any(_is_content(words[i]) for i in range(start, place)):
        left, right = range(comma + 1, min(end, comma + 1 + _REACH)), range(place + 1, comma)
    before, after = _stems(reading, left), _stems(reading, right)
    return Sides(before - after, after - before)


def _both(left: frozenset[str], right: frozenset[str]) -> int:
    return len(left) + len(right) if left and right else 0


def _stems(reading: Reading, places: range) -> frozenset[str]:
    return frozenset(reading.stems[place] for place in places if _is_content(reading.words[place]))


def _is_content(word: str) -> bool:
    return word[0].isalnum() and word not in FUNCTION_WORDS and word not in NEGATIONS
