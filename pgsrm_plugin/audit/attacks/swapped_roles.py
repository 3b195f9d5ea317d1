"""A reference in which two change places."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import FUNCTION_WORDS

_FROM_TO = re.compile(r"\bfrom ((?:\w+ ){0,2}?\w+) to ((?:the |a |an )?\w+)")
_NAME = re.compile(r"\b[A-Z][\w-]+\b")
_ARTICLE = re.compile(r"\b(?:the|a|an) ([a-z][\w-]+)", re.IGNORECASE)
_TOGETHER = re.compile(r"[\s,]*(?:and|or|,|and the|or the|and a|or a)?[\s,]*", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?]\s")


class SwappedRoles(Attack):
    """The reference with two things swapped: "from A to B", two names, or two nouns with articles of one sentence.

    Names or nouns that only "and", "or" or a comma parts are left alone, as the sentence would say the same.
    """

    kind = "swapped_roles"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """The swap, if there is one to make."""
        return swapped(row.reference)


def swapped(text: str) -> str | None:
    """The text with two of its actors in each other's place, or None.

    >>> swapped("Ann pays Bob."), swapped("The dog chased the cat."), swapped("Go from Rome to Bonn.")
    ('Bob pays Ann.', 'The cat chased the dog.', 'Go from Bonn to Rome.')
    >>> swapped("Ann and Bob sing."), swapped("It rains.")
    (None, None)
    """
    if found := _FROM_TO.search(text):
        return _exchange(text, found.span(1), found.span(2))
    names = [match.span() for match in _NAME.finditer(text) if match[0].lower() not in FUNCTION_WORDS]
    return _first_swap(text, names) or _first_swap(text, [match.span(1) for match in _ARTICLE.finditer(text)])


def _first_swap(text: str, spans: Sequence[tuple[int, int]]) -> str | None:
    for one, other in itertools.pairwise(spans):
        between = text[one[1] : other[0]]
        if text[slice(*one)].lower() == text[slice(*other)].lower() or between.isspace():
            continue
        if not (_TOGETHER.fullmatch(between) or _SENTENCE.search(between)):
            return _exchange(text, one, other)
    return None


def _exchange(text: str, one: tuple[int, int], other: tuple[int, int]) -> str | None:
    first, second = text[slice(*one)], text[slice(*other)]
    changed = text[: one[0]] + second + text[one[1] : other[0]] + first + text[other[1] :]
    return changed if changed != text else None
