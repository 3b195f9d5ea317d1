"""Who is compared with whom, and in which order: by the texts alone, so that no order of rows shows in a verdict."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence


def shuffled(prompt: str, answers: Sequence[str]) -> list[str]:
    """The distinct answers in an order that their content decides, and their number does not."""
    together = _digest([prompt, *sorted(set(answers))])
    return sorted(set(answers), key=lambda answer: _digest([together, answer]))


def pairs(answers: Sequence[str], opponents: int | None) -> Iterator[tuple[str, str]]:
    """The matches of a tournament; who stands first changes from match to match.

    Args:
        answers: distinct, in their order.
        opponents: matches of each answer, about; None: one against every other.

    >>> list(pairs("abc", None)), len(list(pairs("abcdef", 2)))
    ([('a', 'b'), ('c', 'a'), ('b', 'c')], 6)
    """
    count = len(answers)
    places = range(count)
    if opponents is None or opponents >= count - 1:
        matches = list(itertools.combinations(places, 2))
    else:
        steps = range(1, (opponents + 1) // 2 + 1)
        met = {frozenset((i, (i + step) % count)) for step in steps for i in places}
        matches = sorted((min(pair), max(pair)) for pair in met)
    for number, (one, other) in enumerate(matches):
        first, second = (one, other) if number % 2 == 0 else (other, one)
        yield answers[first], answers[second]


def wins(
    answers: Sequence[str], matches: Sequence[tuple[str, str]], first_gets: Sequence[float | None]
) -> list[float | None]:
    """The mean of each answer's matches, in [0, 1]; None for one whose matches have no verdict, 0.5 without any match.

    >>> wins("abc", [("a", "b"), ("c", "a"), ("b", "c")], [1.0, 0.0, 0.5])
    [1.0, 0.25, 0.25]
    >>> wins("ab", [("a", "b")], [None]), wins("a", [], [])
    ([None, None], [0.5])
    """
    got: dict[str, list[float]] = {answer: [] for answer in answers}
    for (first, second), share in zip(matches, first_gets, strict=True):
        if share is not None:
            got[first].append(share)
            got[second].append(1.0 - share)
    if not matches:
        return [0.5] * len(answers)
    return [sum(got[answer]) / len(got[answer]) if got[answer] else None for answer in answers]


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
