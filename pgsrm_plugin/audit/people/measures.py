"""A number with its interval, and what is measured on pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

TIE = 1e-6
"""Rewards nearer to each other than this are equal: it is the noise of an encoder in float32."""
LENGTHS = 0.2
"""Answers are of like length if the shorter one lacks at most this share of the longer one's characters."""
_Z = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""


@dataclass(frozen=True)
class Measure:
    """One number about a spec.

    Attributes:
        low: lower end of its 95 % interval; None where there is none.
        count: what it was measured on: pairs, rows, or prompts.
        ties: how many pairs were ties; they count as wrong.
        chance: what a reward that knows nothing gets.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    count: int
    ties: int = 0
    chance: float = 0.5

    def as_dict(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)


def wilson(right: int, count: int) -> tuple[float, float]:
    r"""The 95 % interval of a share, of ``right`` out of ``count`` > 0 (Wilson 1927).

    .. math:: \frac{\hat p + z^2 / 2n \pm z \sqrt{\hat p (1 - \hat p) / n + z^2 / 4n^2}}{1 + z^2 / n}

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    share, scale = right / count, 1 + _Z**2 / count
    centre = (share + _Z**2 / (2 * count)) / scale
    half = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def pair_measures(
    margins: Sequence[float], sections: Sequence[str], lengths: Sequence[tuple[int, int]]
) -> list[Measure]:
    """The share of pairs in which the good answer earns more: by section, over all pairs, over sections, like lengths.

    Args:
        margins: reward of the good answer minus that of the bad one, of each pair.
        sections: of the same pairs; where all are the same, none is measured apart.
        lengths: characters of the good and of the bad answer.
    """
    margins_P, sections_P = np.asarray(margins, dtype=float), np.asarray(sections, dtype=object)
    names = sorted(set(sections))
    apart = [_accuracy(name or "(none)", margins_P[sections_P == name]) for name in names] if len(names) > 1 else []
    overall = [_accuracy("all pairs (micro)", margins_P)]
    if apart:
        mean = float(np.mean([section.value for section in apart]))
        overall.append(Measure("mean of sections (macro)", mean, None, None, len(apart)))
    alike_P = np.array([abs(good - bad) <= LENGTHS * max(good, bad) for good, bad in lengths])
    if alike_P.any():
        overall.append(_accuracy("pairs of like length", margins_P[alike_P]))
    return [*apart, *overall]


def _accuracy(name: str, margins_P: np.ndarray) -> Measure:
    right, ties = int((margins_P > TIE).sum()), int((np.abs(margins_P) <= TIE).sum())
    count = len(margins_P)
    return Measure(name, right / count, *wilson(right, count), count, ties)
