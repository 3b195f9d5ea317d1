"""A reference that says the opposite."""

from __future__ import annotations

import random
import re

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import FUNCTION_WORDS
from pgsrm_plugin.text.words import words

_CONTRACTED = re.compile(r"\b(is|are|was|were|do|does|did|has|have|had|could|would|should|must)n['\u2019]t\b", re.I)
_CANNOT = re.compile(r"\bcan(?:not|['\u2019]t)\b", re.I)
_NOT = re.compile(r"\b(?:not|never)\s+", re.I)
_VERB = re.compile(
    r"\b(?:is|are|was|were|am|can|could|will|would|shall|should|may|might|must|does|do|did|has|have|had)\b(?!['\u2019])",
    re.I,
)
_FEW = 3


class NegatedReference(Attack):
    """The reference with its first English "not" taken away or, without one, added after the first auxiliary verb.

    Without such a verb, "not" goes before a text of up to three words, and "It is not true that" before a longer one
    that has an English function word. Other texts are left out: the rule would not negate them.
    """

    kind = "negated_reference"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """The negation."""
        return negated(row.reference)


def negated(text: str) -> str | None:
    """The opposite of an English text, or None.

    >>> negated("Water isn't dry."), negated("You cannot go."), negated("Iron is a metal.")
    ('Water is dry.', 'You can go.', 'Iron is not a metal.')
    >>> negated("Paris"), negated("The cell burns sugar."), negated("番茄是红的。")
    ('not Paris', 'It is not true that the cell burns sugar.', None)
    """
    for pattern, put in ((_CONTRACTED, r"\1"), (_CANNOT, "can"), (_NOT, "")):
        if pattern.search(text):
            return pattern.sub(put, text, count=1)
    found = words(text)
    if verb := _VERB.search(text):
        return f"{text[: verb.end()]} not{text[verb.end() :]}"
    if not any(char.isascii() and char.isalpha() for char in text):
        return None
    if len(found) <= _FEW:
        return f"not {text}"
    first = text.split()[0]
    start = text[0].lower() if first.lower() in FUNCTION_WORDS else text[0]
    return f"It is not true that {start}{text[1:]}" if FUNCTION_WORDS & set(found) else None
