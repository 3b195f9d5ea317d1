"""The content words of a text in order, and the orders that say the same in English."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from pgsrm_plugin.guards.english.reading import FUNCTION_WORDS, NEGATIONS, listed, read, stem

_BE = listed("is are was were be been being am")
_LIGHT = listed("a an the this that these those his her its their my your our") | _BE
_JOINTS = listed("and or , &")
_OPENERS = listed(
    """in on at with without under over behind above below beside near inside outside during after before since until
    while when whenever if because although though as once for from by between among through across around along next
    to toward towards against"""
)
"""Prepositions and conjunctions: what begins with one, and ends with a comma, may as well stand at the end."""
_ARTICLES = listed("a an the this that these those his her its their my your our he she it they we you i there")
_PRONOUNS = listed("it them him her")
_SYMMETRIC = listed("beside near nearby alongside adjacent while next together")
"""What stands on their two sides may change places."""
_STATES = listed(
    """stand stands stood standing sit sits sat sitting lie lies lay lying hang hangs hanging positioned situated
    located placed parked"""
)
"""Verbs that belong to "next to" as "is" does."""
_MARKS = listed(". ! ? ;")


_PARTICIPLES = tuple(sorted(listed("ed en wn ht de ld id st ne ung un ut um ck it at et nd pt lt")))
"""What participles end with, irregular ones too."""
_ENDS_AGENT = _MARKS | listed(
    ", in on at during before after when while because if and but to for with since until as who which that"
)


class Slot(NamedTuple):
    """A content word, and the words beside it."""

    stem: str
    word: str
    before: str
    after: str


@functools.lru_cache(maxsize=65_536)
def active(text: str) -> tuple[str, ...] | None:
    """The words of a text in the passive, put into the active; None for any other.

    >>> " ".join(active("The cat was chased by the dog."))
    'the dog chased the cat .'
    """
    words = read(text).words
    by = next((i for i in range(2, len(words) - 1) if words[i] == "by" and words[i - 1].endswith(_PARTICIPLES)), None)
    if by is None:
        return None
    be = next((i for i in range(by - 1, max(0, by - 4), -1) if words[i] in _BE), None)
    if be is None or any(word in _MARKS for word in words[be:by]):
        return None
    start = next((i + 1 for i in range(be - 1, -1, -1) if words[i] in _MARKS or words[i] == ","), 0)
    end = next((i for i in range(by + 2, len(words)) if words[i] in _ENDS_AGENT), len(words))
    subject, verb, agent = words[start:be], words[be + 1 : by], words[by + 1 : end]
    return (*words[:start], *agent, *verb, *subject, *words[end:])


@functools.lru_cache(maxsize=65_536)
def orders(words: tuple[str, ...]) -> tuple[tuple[Slot, ...], ...]:
    """The orders that say the same, three of them: as it stands, what opens it put last, and sides sorted as well."""
    rotated = _rotated(words)
    return _slots(words, False), _slots(rotated, False), _slots(_sorted_sides(rotated), True)


def _rotated(words: tuple[str, ...]) -> tuple[str, ...]:
    """With the phrase or clause that opens a sentence put last."""
    found: list[str] = []
    for sentence in _split(words, _MARKS):
        body = sentence[:-1] if sentence and sentence[-1] in _MARKS else sentence
        cut = _opening(body)
        if body[:1] == ("first",):
            comma = next((i for i, word in enumerate(body) if word == ","), len(body))
            body, cut = (*body[1:comma], "first", *body[comma:]), 0
        opening, rest = _renamed(body[:cut], body[cut:])
        found += [*rest, *opening, *sentence[len(body) :]]
    return tuple(found)


def _renamed(opening: tuple[str, ...], rest: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The clause that opens a sentence, without its comma, and what follows; the name now stands in the latter.

    "Before you paint the wall, clean it" becomes "clean the wall before you paint it".
    """
    if not opening or opening[-1] != ",":
        return opening, rest
    opening = opening[:-1]
    pronoun = next((i for i, word in enumerate(rest) if word in _PRONOUNS), None)
    name = next((i for i in range(len(opening) - 2, 0, -1) if opening[i] in _ARTICLES), None)
    if pronoun is None or name is None or not all(_is_content(word) for word in opening[name + 1 :]):
        return opening, rest
    return (*opening[:name], rest[pronoun]), (*rest[:pronoun], *opening[name:], *rest[pronoun + 1 :])


def _opening(words: Sequence[str]) -> int:
    """How many words open it: up to a comma, or to where another phrase begins ("in winter | the lake")."""
    if not words or words[0] not in _OPENERS:
        return 0
    comma = next((i for i, word in enumerate(words) if word == ","), None)
    if comma is not None:
        return comma + 1
    for i in range(2, len(words) - 1):
        if words[i] in _ARTICLES and _is_content(words[i - 1]):
            return i
    return 0


def _sorted_sides(words: tuple[str, ...]) -> tuple[str, ...]:
    """With the sides of each symmetric word in alphabetical order."""
    for place, word in enumerate(words):
        if word in _SYMMETRIC and 0 < place < len(words) - 1:
            before = place - (words[place - 1] in _STATES)
            after = place + 1 + (words[place + 1] in ("to", "with"))
            marks = [i for i, mark in enumerate(words) if mark in _MARKS]
            end = next((i for i in marks if i > place), len(words))
            start = next((i + 1 for i in reversed(marks) if i < place), 0)
            left, right = words[start:before], words[after:end]
            if _key(right) < _key(left):
                return (*words[:start], *right, *words[before:after], *left, *words[end:])
            return words
    return words


def _key(words: Iterable[str]) -> list[str]:
    return [word for word in words if _is_content(word)]


def _split(words: Sequence[str], marks: frozenset[str]) -> list[tuple[str, ...]]:
    found, start = [], 0
    for i, word in enumerate(words):
        if word in marks:
            found.append(tuple(words[start : i + 1]))
            start = i + 1
    return [*found, tuple(words[start:])]


def _slots(words: Sequence[str], whole_phrases: bool) -> tuple[Slot, ...]:
    """The content words in order, the items of each enumeration sorted: single words, or all that stands in a row."""
    kept = [(stem(word), word) for word in words if word not in _LIGHT and word != "-"]
    found: list[Slot] = []
    i = 0
    while i < len(kept):
        if not _is_content(kept[i][1]):
            i += 1
            continue
        end = _row(kept, i) if whole_phrases else i + 1
        items = [kept[i:end]]
        while (after := _past_joints(kept, end)) > end and after < len(kept) and _is_content(kept[after][1]):
            end = _row(kept, after) if whole_phrases else after + 1
            items.append(kept[after:end])
        if len(items) > 1 and _is_crossed(kept, i, end):
            items, end = items[:1], i + len(items[0])
        outside = (_end(kept[i - 1][0]) if i else ""), (_end(kept[end][0]) if end < len(kept) else "")
        for item in sorted(items):
            stems = [outside[0], *(one for one, _ in item), outside[1]]
            found += [Slot(*one, stems[k], stems[k + 2]) for k, one in enumerate(item)]
        i = end
    return tuple(found)


def _is_crossed(kept: Sequence[tuple[str, str]], start: int, end: int) -> bool:
    """ "Reads faster and writes slower" has words of content on both ends, and is no enumeration of its middle."""
    return start > 0 and end < len(kept) and _is_content(kept[start - 1][1]) and _is_content(kept[end][1])


def _row(kept: Sequence[tuple[str, str]], start: int) -> int:
    return next((i for i in range(start, len(kept)) if not _is_content(kept[i][1])), len(kept))


def _past_joints(kept: Sequence[tuple[str, str]], start: int) -> int:
    return next((i for i in range(start, len(kept)) if kept[i][1] not in _JOINTS), len(kept))


def _end(word: str) -> str:
    """A punctuation mark is the end of a phrase, as the text's end is."""
    return word if word[0].isalnum() else ""


def _is_content(word: str) -> bool:
    return word[0].isalnum() and word not in FUNCTION_WORDS and word not in NEGATIONS


class Displaced(NamedTuple):
    """Of the content words of two texts: the share that moved, the share that are out of place, and these words."""

    share: float
    strayed: float
    words: tuple[str, ...]


@functools.lru_cache(maxsize=65_536)
def displaced(response: tuple[Slot, ...], reference: tuple[Slot, ...]) -> Displaced:
    """What is elsewhere in the response; a run of words is out of place if neither neighbour is what it was."""
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
        return Displaced(0.0, 0.0, ())
    kept = _longest_increasing(order)
    if len(kept) == len(order):
        return Displaced(0.0, 0.0, ())
    twice = {
        stem
        for stem, count in Counter(one for slot in reference for one in (slot.before, slot.after)).items()
        if count > 2
    }
    strayed: list[str] = []
    start = 0
    for end in range(1, len(pairs) + 1):
        if end < len(pairs) and order[end] == order[end - 1] + 1 and pairs[end - 1][0].after == pairs[end - 1][1].after:
            continue
        block = pairs[start:end]
        if _strays(block, twice):
            strayed += [one.stem for one, _ in block]
        start = end
    moved = tuple(one.stem for i, (one, _) in enumerate(pairs) if i not in kept)
    return Displaced(len(moved) / len(order), len(strayed) / len(order), tuple(strayed) or moved)


def _strays(block: Sequence[tuple[Slot, Slot]], twice: AbstractSet[str]) -> bool:
    """Whether a run of words that stay together is in another place, and governed by another word."""
    (first, first_now), (last, last_now) = block[0], block[-1]
    # A clause with a participle ("wearing a hat") carries its own verb, and may stand anywhere.
    is_clause = len(block) > 1 and first.word.endswith("ing")
    follows = first.before == first_now.before and first.before not in twice
    precedes = last.after == last_now.after and last.after not in twice
    return not (follows or precedes or is_clause)


def scattered(response: Sequence[str], reference: Sequence[str]) -> float:
    """What :func:`scrambled` says of all words where the content words are in order, and 0 where they are not."""
    said, expected = (tuple(word for word in text if word[0].isalnum()) for text in (response, reference))
    content = scrambled(_key(said), _key(expected))
    return 0.0 if content else scrambled(said, expected)


def scrambled(response: Sequence[str], reference: Sequence[str]) -> float:
    """The share of all shared words outside the longest common order."""
    order = _matched(response, reference)
    return 1.0 - len(_longest_increasing(order)) / len(order) if len(order) > 1 else 0.0


def _matched(response: Sequence[str], reference: Sequence[str]) -> list[int]:
    """Where in the response each of the reference's words stands, as far as it does, in the reference's order."""
    places: dict[str, list[int]] = {}
    for i in range(len(response) - 1, -1, -1):
        places.setdefault(response[i], []).append(i)
    return [places[word].pop() for word in reference if places.get(word)]


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
