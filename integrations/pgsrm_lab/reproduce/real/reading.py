"""Is an answer right? Read strictly, and from a sentence; and does it say anything that the prompt has not said?

The rules, fixed before any run:

- *strict*: the answer is the reference, case and outer white space aside. This is what the binary reward pays.
- *from the sentence*: the reference's words stand in the answer one after the other, as whole words, case and
  punctuation aside, and no other answer of the task does, but for those that stand in the prompt. Where the prompt
  itself holds the reference, naming it is no answer: there the answer must be the reference's words and no others.
- *echo*: not right, and no word in it that is not in the prompt.

Nothing here understands a sentence: "is not night" counts as naming "night".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgsrm_plugin.text.words import words

KINDS = ("strict", "sentence", "echo")


@dataclass(frozen=True)
class Reading:
    """How one answer is read.

    Attributes:
        strict, sentence, echo: see the module.
    """

    strict: bool
    sentence: bool
    echo: bool


def read(prompt: str, reference: str, answer: str, answers: Sequence[str]) -> Reading:
    """Reads an answer.

    Args:
        answers: all references of the task.

    >>> read("The opposite of 'day' is", "night", "The opposite of day is night.", ["night", "cold"])
    Reading(strict=False, sentence=True, echo=False)
    >>> read("The opposite of 'day' is", "night", 'The opposite of "day" is "', ["night", "cold"])
    Reading(strict=False, sentence=False, echo=True)
    """
    strict = answer.strip().casefold() == reference.strip().casefold()
    asked, wanted, said = words(prompt), words(reference), words(answer)
    if holds(asked, wanted):
        named = said == wanted
    else:
        others = (words(other) for other in set(answers) - {reference})
        named = holds(said, wanted) and not any(holds(said, w) and not holds(asked, w) for w in others if w != wanted)
    right = strict or named
    return Reading(strict, right, bool(said) and not right and set(said) <= set(asked))


def holds(text: Sequence[str], part: Sequence[str]) -> bool:
    """Whether words stand in a text one after the other; no words stand nowhere.

    >>> holds(["a", "known", "word"], ["known", "word"]), holds(["a"], []), holds(["a", "b"], ["b", "a"])
    (True, False, False)
    """
    size = len(part)
    return size > 0 and any(list(text[start : start + size]) == list(part) for start in range(len(text) - size + 1))


def shares(readings: Sequence[Reading]) -> dict[str, float]:
    """The share of each kind.

    >>> shares([Reading(True, True, False), Reading(False, False, True)])
    {'strict': 0.5, 'sentence': 0.5, 'echo': 0.5}
    """
    return {kind: sum(getattr(one, kind) for one in readings) / len(readings) for kind in KINDS}
