"""Sentences from frames with slots, chosen by length and always the same for a seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from string import Formatter

Pair = tuple[str, str]
"""A sentence and its counterpart; the same text twice where no slot is paired."""
Slots = Mapping[str, str]
"""The fillers of each slot, with spaces between them; ``glad|sad`` goes into the sentence and its counterpart."""


def fillings(frame: str, slots: Slots) -> list[Pair]:
    """Every way to fill a frame.

    >>> fillings("We {feel}.", {"feel": "laugh|cry sing"})
    [('We laugh.', 'We cry.'), ('We sing.', 'We sing.')]
    """
    names = [name for _, name, _, _ in Formatter().parse(frame) if name]
    found = []
    for choice in itertools.product(*(slots[name].split() for name in names)):
        sides = [[filler.replace("_", " ").split("|")[side] for filler in choice] for side in (0, -1)]
        first, second = (frame.format(**dict(zip(names, side, strict=True))) for side in sides)
        found.append((first, second))
    return found


def words(sentence: str) -> list[str]:
    """A sentence's words, without its full stop."""
    return sentence.rstrip(".").split()


def choose(
    frames: Sequence[str], slots: Slots, train: Mapping[int, int], held_out: Mapping[int, int], seed: int
) -> tuple[list[Pair], list[Pair]]:
    """Sentences to train on, and others made of the same words.

    Args:
        train: how many sentences of each number of words; the frames of a length take turns.
        held_out: likewise. Each word of a held-out sentence stands in a training sentence, a first word as the first.
    """
    rng = random.Random(seed)
    pools = {length: _turns(frames, slots, length, rng) for length in train}
    trained = [next(pools[length]) for length, count in train.items() for _ in range(count)]
    known = {word for pair in trained for sentence in pair for word in words(sentence)}
    openings = {words(first)[0] for first, _ in trained}
    reserved = []
    for length, count in held_out.items():
        fitting = (
            pair
            for pair in pools[length]
            if words(pair[0])[0] in openings and all(word in known for sentence in pair for word in words(sentence))
        )
        reserved += list(itertools.islice(fitting, count))
    rng.shuffle(trained)
    return trained, reserved


def _turns(frames: Sequence[str], slots: Slots, length: int, rng: random.Random) -> Iterator[Pair]:
    """The fillings of the frames with so many words, each frame's shuffled, one of each frame in turn."""
    shuffled = []
    for frame in frames:
        pairs = [pair for pair in fillings(frame, slots) if len(words(pair[0])) == length]
        rng.shuffle(pairs)
        shuffled.append(pairs)
    for turn in itertools.zip_longest(*shuffled):
        yield from (pair for pair in turn if pair is not None)
