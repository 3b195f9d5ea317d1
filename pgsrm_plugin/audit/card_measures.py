"""The statistics of an audit: shares with their intervals, ranks and spreads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

import numpy as np

from pgsrm_plugin.audit.people.measures import wilson


@dataclass(frozen=True)
class Share:
    """A share with its 95 % Wilson interval; all three None where there is nothing to count."""

    count: int
    of: int
    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def counted(cls, hits: Sequence[bool]) -> Share:
        """The share of those that are true."""
        if not hits:
            return cls(0, 0, None, None, None)
        count = sum(hits)
        return cls(count, len(hits), count / len(hits), *wilson(count, len(hits)))


def auc(good: Sequence[float], bad: Sequence[float]) -> float | None:
    """The chance that a good one is above a bad one, ties counting half; None without both.

    >>> auc([0.9, 0.5], [0.5, 0.1])
    0.875
    """
    if not good or not bad:
        return None
    ordered = np.sort(np.asarray(bad, dtype=float))
    below, upto = (np.searchsorted(ordered, np.asarray(good, dtype=float), side=side) for side in ("left", "right"))
    return float((below + upto).sum() / 2 / (len(good) * len(bad)))


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """The rank correlation, ties with their mean rank; None where one of the two is constant.

    >>> spearman([1, 2, 3], [10, 30, 20])
    0.5
    >>> spearman([1, 1], [1, 2]) is None
    True
    """
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return round(float(np.corrcoef(_ranks(first), _ranks(second))[0, 1]), 12)


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """The mean of those that are there."""
    there = [value for value in values if value is not None]
    return fmean(there) if there else None


def spread(groups: Sequence[Sequence[float]]) -> float | None:
    """The root mean square of the groups' standard deviations; None where no group has two.

    >>> spread([[0.0, 2.0], [5.0, 5.0]]) == 0.5**0.5
    True
    """
    squares = [pstdev(group) ** 2 for group in groups if len(group) > 1]
    return math.sqrt(fmean(squares)) if squares else None


def _ranks(values: Sequence[float]) -> np.ndarray:
    ordered = np.sort(np.asarray(values, dtype=float))
    below, upto = (np.searchsorted(ordered, np.asarray(values, dtype=float), side=side) for side in ("left", "right"))
    return np.asarray((below + upto + 1) / 2)
