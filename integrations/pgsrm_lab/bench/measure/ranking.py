"""What rounding does to the order of rewards within a group, which is all that a group advantage is made of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, pstdev

from pgsrm_lab.bench.workload import Pairs


@dataclass(frozen=True)
class Ranking:
    """How one system's order within groups agrees with another's.

    Attributes:
        mean, least: of Kendall's tau-b over the groups; 1.0 where no group counts.
        groups: how many counted.
        left_out: groups that have no order, since all their cosines are equal on one side.
    """

    mean: float
    least: float
    groups: int
    left_out: int


def kendall_tau(a: Sequence[float], b: Sequence[float]) -> float:
    r"""Kendall's tau-b, :math:`(C - D) / \sqrt{(n_0 - n_a)(n_0 - n_b)}`, by looking at every pair.

    ``C`` and ``D`` count the pairs in the same and in opposite order, ``n_0`` all pairs, ``n_a`` and ``n_b`` those that
    are tied in ``a`` and in ``b`` (Kendall 1945).

    Returns:
        A number in [-1, 1]; nan where all values of one side are equal.

    >>> kendall_tau([1, 2, 3], [1, 3, 2])
    0.3333333333333333
    """
    if len(a) != len(b):
        raise ValueError(f"kendall_tau needs equally many values, not {len(a)} and {len(b)}")
    balance = untied_a = untied_b = 0
    for i, j in combinations(range(len(a)), 2):
        sign_a, sign_b = _sign(a[i] - a[j]), _sign(b[i] - b[j])
        balance += sign_a * sign_b
        untied_a += abs(sign_a)
        untied_b += abs(sign_b)
    return balance / math.sqrt(untied_a * untied_b) if untied_a and untied_b else math.nan


def compare_ranking(pairs: Pairs, cosines: Sequence[float], reference: Sequence[float]) -> Ranking:
    """Kendall's tau within each group, between two systems' cosines of the same rows."""
    taus = [
        kendall_tau([cosines[row] for row in rows], [reference[row] for row in rows]) for rows in _group_rows(pairs)
    ]
    counted = [tau for tau in taus if not math.isnan(tau)]
    left_out = len(taus) - len(counted)
    return Ranking(fmean(counted or [1.0]), min(counted, default=1.0), len(counted), left_out)


def first_of_identical(pairs: Pairs, cosines: Sequence[float]) -> list[float]:
    """The cosines with each repeated pair's replaced by that of its first occurrence: noise breaks no tie then."""
    first: dict[tuple[str, str], float] = {}
    keys = zip(pairs.responses, pairs.references, strict=True)
    return [first.setdefault(key, cosine) for key, cosine in zip(keys, cosines, strict=True)]


def identical_spread(pairs: Pairs, cosines: Sequence[float]) -> float:
    """The greatest difference between the cosines of two identical pairs; 0 for an encoder that is exact."""
    kept = first_of_identical(pairs, cosines)
    return max((abs(one - other) for one, other in zip(cosines, kept, strict=True)), default=0.0)


def group_std(pairs: Pairs, cosines: Sequence[float]) -> float:
    """The standard deviation of the cosines within a group, mean over the groups."""
    return fmean(pstdev([cosines[row] for row in rows]) for rows in _group_rows(pairs))


def share_below(pairs: Pairs, cosines: Sequence[float], noise: float) -> float:
    """The share of groups in which the cosines of two different responses are closer together than ``noise``."""
    groups = list(_group_rows(pairs))
    close = sum(
        any(
            pairs.responses[i] != pairs.responses[j] and abs(cosines[i] - cosines[j]) < noise
            for i, j in combinations(rows, 2)
        )
        for rows in groups
    )
    return close / len(groups) if groups else 0.0


def _group_rows(pairs: Pairs) -> Iterator[list[int]]:
    rows: dict[int, list[int]] = {}
    for row, group in enumerate(pairs.groups):
        rows.setdefault(group, []).append(row)
    yield from rows.values()


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
