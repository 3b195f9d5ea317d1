"""Which words say the opposite of which: WordNet's antonyms, and some by hand that it lacks (more_antonyms.txt)."""

from __future__ import annotations

import functools
from importlib.resources import files

from pgsrm_plugin.guards.english.reading import whole_form


def _pairs(text: str) -> set[tuple[str, str]]:
    return {(words[0], words[1]) for pair in text.split(",") if (words := pair.split())}


_NO_ANTONYMS = _pairs("give take, be differ, do unmake, have lack, one zero, lie stand")
"""Pairs of WordNet that are none in most sentences."""
_PREFIXES = {"un": 4, "non": 4, "in": 6, "im": 6, "il": 6, "ir": 6, "dis": 6, "mis": 6}
"""What turns a word into its opposite, and how long that word is at least: "safe", but not "side" or "press"."""
_ENDINGS = (
    ("s", ""), ("es", ""), ("ies", "y"), ("ed", ""), ("ed", "e"), ("d", ""), ("ing", ""), ("ing", "e"), ("er", ""),
    ("er", "e"), ("est", ""), ("est", "e"), ("ier", "y"), ("iest", "y"), ("ly", ""), ("ily", "y"),
)  # fmt: skip


@functools.lru_cache(maxsize=65_536)
def are_antonyms(word: str, other: str) -> bool:
    """Whether two words, in any of their forms, are opposites.

    >>> are_antonyms("rises", "fell"), are_antonyms("hotter", "coldest"), are_antonyms("hot", "red")
    (True, True, False)
    """
    opposites = _opposites()
    forms = _forms(other)
    shorter, longer = sorted((word, other), key=len)
    if any(longer == prefix + shorter and len(shorter) >= least for prefix, least in _PREFIXES.items()):
        return True
    return any(not forms.isdisjoint(opposites.get(form, ())) for form in _forms(word))


@functools.lru_cache(maxsize=65_536)
def has_antonym(word: str) -> bool:
    """Whether any form of a word has an opposite, or may be one itself."""
    return len(word) >= 4 or any(form in _opposites() for form in _forms(word))


@functools.cache
def _opposites() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for one, other in _listed("antonyms.txt") - _NO_ANTONYMS | _listed("more_antonyms.txt"):
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in found.items()}


def _listed(name: str) -> set[tuple[str, str]]:
    table = files("pgsrm_plugin.guards.english").joinpath(name).read_text(encoding="utf-8")
    return _pairs(table.replace("\n", ","))


@functools.lru_cache(maxsize=65_536)
def _forms(word: str) -> frozenset[str]:
    """The word, and what it may be a form of."""
    forms = {word, whole_form(word)}
    for ending, rest in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            base = word[: -len(ending)] + rest
            forms.add(base)
            if not rest and len(base) > 3 and base[-1] == base[-2]:  # stopped, bigger
                forms.add(base[:-1])
    return frozenset(forms)
