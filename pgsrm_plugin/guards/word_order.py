"""Word order: the same words, in another role."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.reading import FUNCTION_WORDS, NEGATIONS, listed, ramp, read

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder


class WordOrder(Guard):
    r"""All words of the reference in another order: who did it to whom, or a shuffle.

    With :math:`b` the F1 of the two bags of words, of the shared content words :math:`m` the share outside the longest
    common order and :math:`s` the share out of place, and the ramp :math:`\rho` from 0 to 0.08: the ramp of :math:`b`
    from 0.88 to 0.94, times :math:`\max(0.4 \rho(m), \rho(s))`. A run of words that stay together is out of place if
    neither the word before it nor the one after it is what it was (articles and forms of "be" apart), unless it is a
    clause with a participle. So a phrase that moves with its preposition costs little, and items of one enumeration
    ("salt and pepper") may change places. The order of words says who did what in English and its like; in languages of
    free word order leave the guard out.
    """

    kind: Literal["word_order"] = "word_order"

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [_violation(pair) for pair in pairs]


def _violation(pair: Compared) -> Violation:
    response, reference = read(pair.response), read(pair.reference)
    if response.plain == reference.plain:
        return NONE
    shared = sum((Counter(response.plain) & Counter(reference.plain)).values())
    likeness = 2 * shared / max(1, len(response.plain) + len(reference.plain))
    same_words = ramp(likeness, 0.88, 0.94)
    if not same_words:
        return NONE
    moved, strayed, words = _moved(_places(pair.response), _places(pair.reference))
    share = same_words * max(_SLIGHT * ramp(moved, 0.0, 0.08), ramp(strayed, 0.0, 0.08))
    return Violation(share, words) if share else NONE


class _Slot(NamedTuple):
    """A content word, and the words beside it."""

    stem: str
    word: str
    before: str
    after: str


@functools.lru_cache(maxsize=65_536)
def _places(text: str) -> tuple[_Slot, ...]:
    """The content words in order, those of one enumeration sorted."""
    reading = read(text)
    kept = [
        (word, stem)
        for word, stem in zip(reading.words, reading.stems, strict=True)
        if word not in _LIGHT and word != "-"
    ]
    found: list[_Slot] = []
    i = 0
    while i < len(kept):
        if not _is_content(kept[i][0]):
            i += 1
            continue
        end = i + 1
        items = [kept[i][::-1]]
        while end + 1 < len(kept) and kept[end][0] in _JOINTS and _is_content(kept[end + 1][0]):
            items.append(kept[end + 1][::-1])
            end += 2
        before = _end(kept[i - 1][1]) if i else ""
        after = _end(kept[end][1]) if end < len(kept) else ""
        found += [_Slot(*item, before, after) for item in sorted(items)]
        i = end
    return tuple(found)


_SLIGHT = 0.4
"""What a phrase that only moved breaks: among true paraphrases as frequent as among false ones, so it decides no more
than between near copies."""
_LIGHT = listed("a an the this that these those his her its their my your our is are was were be been being")
_JOINTS = listed("and or , &")


def _end(stem: str) -> str:
    """A punctuation mark is the end of a phrase, as the text's end is."""
    return stem if stem[0].isalnum() else ""


def _is_content(word: str) -> bool:
    return word[0].isalnum() and word not in FUNCTION_WORDS and word not in NEGATIONS


def _moved(response: Sequence[_Slot], reference: Sequence[_Slot]) -> tuple[float, float, tuple[str, ...]]:
    """The share of the shared words that moved, the share that are out of place, and these words."""
    places: dict[str, list[int]] = {}
    for i, place in enumerate(response):
        places.setdefault(place.stem, []).append(i)
    used: Counter[str] = Counter()
    order, pairs = [], []
    for place in reference:
        if used[place.stem] < len(places.get(place.stem, ())):
            order.append(places[place.stem][used[place.stem]])
            pairs.append((place, response[order[-1]]))
            used[place.stem] += 1
    if len(order) < 2:
        return 0.0, 0.0, ()
    kept = _longest_increasing(order)
    if len(kept) == len(order):
        return 0.0, 0.0, ()
    strayed: list[str] = []
    start = 0
    for end in range(1, len(pairs) + 1):
        if end < len(pairs) and order[end] == order[end - 1] + 1 and pairs[end - 1][0].after == pairs[end - 1][1].after:
            continue
        block = pairs[start:end]
        if _strays(block):
            strayed += [one.stem for one, _ in block]
        start = end
    moved = tuple(one.stem for i, (one, _) in enumerate(pairs) if i not in kept)
    return len(moved) / len(order), len(strayed) / len(order), tuple(strayed) or moved


def _strays(block: Sequence[tuple[_Slot, _Slot]]) -> bool:
    """Whether a run of words that stay together is in another place, and governed by another word."""
    (first, first_now), (last, last_now) = block[0], block[-1]
    # A clause with a participle ("wearing a hat") carries its own verb, and may stand anywhere.
    is_clause = len(block) > 1 and first.word.endswith("ing")
    return first.before != first_now.before and last.after != last_now.after and not is_clause


def _longest_increasing(values: list[int]) -> set[int]:
    """The places of a longest increasing subsequence."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for i, value in enumerate(values):
        at = bisect_left(tails, value)
        before.append(ends[at - 1] if at else -1)
        tails[at : at + 1] = [value]
        ends[at : at + 1] = [i]
    kept, i = set(), ends[-1]
    while i >= 0:
        kept.add(i)
        i = before[i]
    return kept
