"""Words of any script, and the words that attacks add."""

from __future__ import annotations

import random

from pgsrm_plugin.text.clean import normalise_space
from pgsrm_plugin.text.words import spaced, words

_LITTLE = (
    "a about above after again all also am an and any are as at be because been before being below between both but by "
    "can could did do does during each for from had has have he her here him his how i if in into is it its just may "
    "me might more most must my no nor not of off on once only or other our out over own same shall she should so some "
    "such than that the their them then there these they this those through to too under until up very was we were "
    "what when where which while who whom why will with would you your"
)
FUNCTION_WORDS = frozenset(_LITTLE.split())
"""English words that say little by themselves."""
FILLER = (
    "The old bridge was painted twice in the same week.",
    "Most visitors arrive by train and leave in the late afternoon.",
    "A committee of nine members met on Tuesday to discuss the budget.",
    "Fresh bread is sold near the northern gate until noon.",
    "The report was printed on recycled paper and bound by hand.",
    "Several wooden chairs were moved to the second floor.",
    "Nobody knew who had left the umbrella in the hall.",
    "The choir practised in a tent while the roof was repaired.",
    "A narrow path leads from the car park to the lake.",
    "The museum keeps a large collection of clocks and maps.",
    "In winter the ferry sails only every other day.",
    "The gardener planted tulips along the eastern wall.",
)
"""Sentences that have to do with nothing."""


def form_of(text: str) -> str:
    """A text without what tells no two texts apart: letter case and white space."""
    return normalise_space(text).casefold()


def pieces(text: str) -> list[str]:
    """The words with the punctuation on them; of scripts without spaces, each character.

    >>> pieces("Red, then blue."), pieces("番茄红")
    (['Red,', 'then', 'blue.'], ['番', '茄', '红'])
    """
    return spaced(text).split()


def joined(parts: list[str], like: str) -> str:
    """Pieces as one text, with spaces between them where the text that they came from has such."""
    unspaced = len(pieces(like)) > 2 * len(like.split())
    return ("" if unspaced else " ").join(parts)


def content_words(text: str) -> list[str]:
    """The distinct words that say something, in order of appearance.

    >>> content_words("The mill on the river: a mill.")
    ['mill', 'river']
    """
    return list(dict.fromkeys(word for word in words(text) if word not in FUNCTION_WORDS))


def filler(rng: random.Random, count: int) -> str:
    """At least ``count`` words that have to do with nothing."""
    text = ""
    while len(text.split()) < count:
        text = " ".join([text, *rng.sample(FILLER, len(FILLER))]).strip()
    found = text.split()
    end = next((end for end in range(count, len(found)) if found[end - 1].endswith(".")), len(found))
    return " ".join(found[:end])
