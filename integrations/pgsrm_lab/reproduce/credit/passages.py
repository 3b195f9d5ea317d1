"""Passages of five sentences, each of which can be right or wrong: what the child explains.

They were written for this study, before any reward had scored them (``passages.jsonl``, Apache-2.0). Which sentence is
right is said here, and by no reward.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

SENTENCES = 5
Pattern = tuple[bool, ...]
"""Of an explanation: which of its sentences are right."""


@dataclass(frozen=True)
class Passage:
    """A prompt, and its explanation sentence by sentence.

    Attributes:
        references: the expert's sentences, with which the whole is compared.
        right: each in other words.
        wrong: in the place of each, something that is not so, or has nothing to do with it.
    """

    prompt: str
    references: tuple[str, ...]
    right: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def reference(self) -> str:
        """The expert's whole explanation."""
        return " ".join(self.references)

    def written(self, pattern: Pattern) -> str:
        """The explanation whose sentences are right or wrong as said."""
        chosen = zip(pattern, self.right, self.wrong, strict=True)
        return " ".join(right if is_right else wrong for is_right, right, wrong in chosen)


def passages() -> tuple[Passage, ...]:
    """All passages."""
    text = files(__package__).joinpath("passages.jsonl").read_text(encoding="utf-8")
    return tuple(_passage(json.loads(line)) for line in text.splitlines())


def _passage(row: dict[str, object]) -> Passage:
    sentences = row["sentences"]
    assert isinstance(sentences, list)
    references, right, wrong = (tuple(one[name] for one in sentences) for name in ("reference", "right", "wrong"))
    return Passage(str(row["prompt"]), references, right, wrong)


def patterns(sentences: int = SENTENCES) -> list[Pattern]:
    """All there are, the faultless one first."""
    return list(itertools.product((True, False), repeat=sentences))


def taught(count: int, wrong: float, seed: int) -> list[Pattern]:
    """So many patterns in which each sentence is wrong with a probability, whatever the others are; the seed's."""
    source = random.Random(seed)
    return [tuple(source.random() >= wrong for _ in range(SENTENCES)) for _ in range(count)]


def wrong_sentences(pattern: Sequence[bool]) -> int:
    """How many are wrong."""
    return sum(not right for right in pattern)
