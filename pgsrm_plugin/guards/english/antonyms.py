"""Which words say the opposite of which: WordNet's antonyms, and some that it lacks."""

from __future__ import annotations

import functools
from importlib.resources import files


def _pairs(text: str) -> set[tuple[str, str]]:
    return {(words[0], words[1]) for pair in text.split(",") if (words := pair.split())}


_MORE = _pairs(
    """more less, most least, more fewer, higher lower, before after, earlier later, first last, always never, all none,
    older younger, early late, up down, into out, yesterday tomorrow, previous next, beforehand afterwards,
    before afterwards, begin end, above below, over under, many few, everything nothing, everyone nobody,
    longer shorter, larger smaller, bigger smaller, better worse, best worst, with without, prior after, until after,
    morning evening, allow forbid, legal illegal, north south, east west, left right, sink float, freeze melt,
    inside outside, import export, expand contract, expand shrink, grow shrink, gain lose, increase reduce, raise lower,
    lengthen shorten, strengthen weaken, heat cool, enable disable, attach detach, arrive leave, enter leave,
    include exclude, minimum maximum, maximise minimise, maximize minimize, faster slower, warmer cooler, hotter colder,
    stronger weaker, often rarely, frequently rarely, encourage discourage, approve reject, accept decline,
    succeed fail, pass fail, expensive cheap, deep shallow, thick thin, wide narrow, loose tight, wet dry, sweet sour,
    boil freeze, borrow lend, teach learn, push pull, promote demote, acquit convict, safe dangerous, harmless harmful,
    rough smooth, solid liquid, ascending descending, acidic alkaline, absorb emit, absorb release, inhale exhale,
    widen narrow, upper lower, upward downward, upwards downwards, hard easy, hard soft, warm cold, warm cool, hot cool,
    severe mild, severely mildly, even odd, remember forget, start finish, start stop, begin finish, alive dead,
    present absent, major minor, majority minority, internal external, active passive, temporary permanent,
    public private, guilty innocent, buyer seller, true false, correct incorrect, possible impossible,
    voluntary involuntary, visible invisible, direct indirect, soluble insoluble, reversible irreversible,
    relevant irrelevant, complete incomplete, dependent independent, valid invalid, aerobic anaerobic,
    evaporate condense, melt solidify, add remove, add subtract, attract repel, advance retreat, appear disappear,
    agree disagree, connect disconnect, heavy light, dark light, full empty, rich poor, simple complex, sharp blunt,
    tighten loosen, optional mandatory, voluntary mandatory, ancient modern, natural artificial, male female,
    asleep awake, quick slow, quickly slowly, fast slow, underneath above, beneath above, top bottom, front back"""
)
_NO_ANTONYMS = _pairs("give take, be differ, do unmake, have lack, one zero")
"""Pairs of WordNet that are none in most sentences."""
_IRREGULAR = dict(
    _pairs(
        """fell fall, rose rise, risen rise, won win, lost lose, bought buy, sold sell, gave give, took take,
        began begin, begun begin, came come, went go, left leave, got get, worse bad, better good, sank sink, sunk sink,
        froze freeze, frozen freeze, grew grow, grown grow, shrank shrink, shrunk shrink, shut shut, brought bring,
        taught teach, learnt learn, lent lend, spent spend, hid hide, hidden hide, broke break, broken break, kept keep,
        thrown throw, threw throw, caught catch, fed feed, led lead, built build, felt feel"""
    )
)
_ENDINGS = (
    ("s", ""), ("es", ""), ("ies", "y"), ("ed", ""), ("ed", "e"), ("d", ""), ("ing", ""), ("ing", "e"), ("er", ""),
    ("er", "e"), ("est", ""), ("est", "e"), ("ier", "y"), ("ly", ""), ("ily", "y"),
)  # fmt: skip


@functools.lru_cache(maxsize=65_536)
def are_antonyms(word: str, other: str) -> bool:
    """Whether two words, in any of their forms, are opposites.

    >>> are_antonyms("rises", "fell"), are_antonyms("hotter", "coldest"), are_antonyms("hot", "red")
    (True, True, False)
    """
    opposites = _opposites()
    forms = _forms(other)
    if {word, other} & {f"un{word}", f"non{word}", f"un{other}", f"non{other}"} and min(len(word), len(other)) >= 5:
        return True
    return any(not forms.isdisjoint(opposites.get(form, ())) for form in _forms(word))


@functools.lru_cache(maxsize=65_536)
def has_antonym(word: str) -> bool:
    """Whether any form of a word has an opposite, or may be one itself."""
    return len(word) >= 5 or any(form in _opposites() for form in _forms(word))


@functools.cache
def _opposites() -> dict[str, frozenset[str]]:
    table = files("pgsrm_plugin.guards.english").joinpath("antonyms.txt").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for one, other in (_pairs(table.replace("\n", ",")) - _NO_ANTONYMS) | _MORE:
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in found.items()}


@functools.lru_cache(maxsize=65_536)
def _forms(word: str) -> frozenset[str]:
    """The word, and what it may be a form of."""
    forms = {word, _IRREGULAR.get(word, word)}
    for ending, rest in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            base = word[: -len(ending)] + rest
            forms.add(base)
            if not rest and len(base) > 3 and base[-1] == base[-2]:  # stopped, bigger
                forms.add(base[:-1])
    return frozenset(forms)
