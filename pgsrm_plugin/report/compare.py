"""Comparing arms over few seeds: a paired test, interquartile means, and a verdict by rule."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.stats import trim_mean

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.report.stats import RESAMPLES, Interval

Verdict = Literal["supported", "not supported", "undecided"]
_ENUMERATED = 16
"""Up to so many pairs, all sign patterns are listed; beyond, 100,000 are drawn."""


def sign_flip_p(differences: Sequence[float]) -> float:
    r"""Two-sided p of the paired permutation test on the mean difference.

    If two arms were alike, each seed's difference could as well have had the other sign. The p-value is the share of
    the :math:`2^n` sign patterns whose mean is at least as far from 0 as the one seen; its least value is
    :func:`least_p`.

    Raises:
        DataError: there are no differences.

    >>> sign_flip_p([1.0, 2.0, 3.0])
    0.25
    >>> sign_flip_p([1.0, -1.0])
    1.0
    """
    values = np.asarray(differences, dtype=float)
    if not len(values):
        raise DataError("a paired test needs at least one pair")
    if len(values) <= _ENUMERATED:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
    else:
        signs = np.random.default_rng(0).choice((1.0, -1.0), size=(100_000, len(values)))
    means = np.abs(signs @ values)
    # scipy's permutation_test knows ties relative to the sum seen alone: of differences that cancel it misses some.
    return float((means >= abs(values.sum()) - 1e-12 * max(1.0, np.abs(values).sum())).mean())


def least_p(pairs: int) -> float:
    """The smallest p that :func:`sign_flip_p` can give: all differences of one sign.

    >>> least_p(5)
    0.0625
    """
    return 2.0 / 2.0**pairs


def iqm(values: Sequence[float]) -> float:
    """The interquartile mean: the mean without the lowest and highest quarter (each rounded down to whole values).

    >>> iqm([0.0, 1.0, 2.0, 100.0])
    1.5
    """
    return float(trim_mean(np.asarray(values, dtype=float), 0.25))


def stratified_iqm(strata: Sequence[Sequence[float]]) -> Interval:
    """The interquartile mean over all values, with a 95 % bootstrap interval that resamples within each stratum.

    scipy's bootstrap does not resample within strata. With one stratum a task and one value a seed this is the
    aggregate of Agarwal et al. (arXiv 2108.13264).

    Raises:
        DataError: a stratum is empty.
    """
    arrays = [np.asarray(stratum, dtype=float) for stratum in strata]
    if not arrays or any(not len(array) for array in arrays):
        raise DataError("an interquartile mean over tasks needs at least one value of each task")
    rng = np.random.default_rng(0)
    drawn = np.concatenate([a[rng.integers(len(a), size=(RESAMPLES, len(a)))] for a in arrays], axis=1)
    ordered = np.sort(drawn, axis=1)
    cut = ordered.shape[1] // 4
    low, high = np.percentile(ordered[:, cut : ordered.shape[1] - cut].mean(axis=1), [2.5, 97.5])
    return Interval(iqm(np.concatenate(arrays).tolist()), float(low), float(high))


def verdict(gap: Interval, claimed: Literal["higher", "lower"]) -> Verdict:
    """What an interval says of a claimed direction: it must leave out 0 to say anything.

    >>> verdict(Interval(0.2, 0.1, 0.3), "higher"), verdict(Interval(0.2, 0.1, 0.3), "lower")
    ('supported', 'not supported')
    >>> verdict(Interval(0.2, -0.1, 0.3), "higher")
    'undecided'
    """
    low, high = (gap.low, gap.high) if claimed == "higher" else (-gap.high, -gap.low)
    if low > 0:
        return "supported"
    return "not supported" if high < 0 else "undecided"
