"""How the order of rewards agrees with that of people's values: rank correlations, and the area under the ROC curve."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from pgsrm_plugin.audit.people.measures import TIE, Measure
from pgsrm_plugin.errors import DataError

RESAMPLES = 1000
"""Of a bootstrap."""
Statistic = Callable[[np.ndarray, np.ndarray], float]


def kendall(rewards_B: np.ndarray, ratings_B: np.ndarray) -> float:
    """Kendall's tau-b in [-1, 1]; 0 where either side has one value only, so that there is no order."""
    from scipy.stats import kendalltau

    return _without_warning(lambda: kendalltau(rewards_B, ratings_B).statistic)


def spearman(rewards_B: np.ndarray, ratings_B: np.ndarray) -> float:
    """Spearman's rho in [-1, 1]; 0 where either side has one value only."""
    from scipy.stats import spearmanr

    return _without_warning(lambda: spearmanr(rewards_B, ratings_B).statistic)


def area_under_roc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The chance that a right answer earns more than a wrong one, ties counting half (Mann and Whitney's U)."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))


def label_measures(rewards: Sequence[float], labels: Sequence[float]) -> list[Measure]:
    """ROC AUC with a percentile-bootstrap interval, both classes resampled apart.

    Args:
        labels: 0 or 1; both must occur.
    """
    rewards_B, labels_B = _without_noise(rewards), np.asarray(labels)
    classes = (rewards_B[labels_B == 1], rewards_B[labels_B == 0])
    low, high = _bootstrap(classes, area_under_roc) if min(map(len, classes)) > 1 else (None, None)
    return [Measure("ROC AUC", area_under_roc(*classes), low, high, len(rewards_B))]


def rating_measures(
    rewards: Sequence[float], ratings: Sequence[float], groups: Sequence[Hashable], *, within: bool = True
) -> list[Measure]:
    """Kendall's tau-b and Spearman's rho: the mean over prompts, and over all rows; with bootstrap intervals.

    Within prompts, those are counted that have different ratings; whole prompts are resampled, for both.

    Args:
        groups: the prompt of each row.
        within: whether to measure within prompts at all.

    Raises:
        DataError: no prompt has two rows of different ratings.
    """
    rewards_B, ratings_B = _without_noise(rewards), np.asarray(ratings, dtype=float)
    places = _places(groups)
    judged = [rows for rows in places if len(set(ratings_B[rows])) > 1]
    if within and not judged:
        raise DataError(
            "no prompt has two responses of different ratings, so there is nothing to measure within prompts; "
            "give such rows the same prompt (or group), or add --pooled to measure over all rows only"
        )
    found = []
    for name, statistic in (("Kendall's tau-b", kendall), ("Spearman's rho", spearman)):
        if within:
            found.append(_within(f"{name}, within prompts", statistic, rewards_B, ratings_B, judged))
        found.append(_pooled(f"{name}, all rows", statistic, rewards_B, ratings_B, places))
    return found


def _within(
    name: str, statistic: Statistic, rewards_B: np.ndarray, ratings_B: np.ndarray, judged: Sequence[np.ndarray]
) -> Measure:
    values = np.array([statistic(rewards_B[rows], ratings_B[rows]) for rows in judged])
    low, high = _bootstrap((values,), lambda one: float(np.mean(one))) if len(values) > 1 else (None, None)
    return Measure(name, float(values.mean()), low, high, len(values), chance=0.0)


def _pooled(
    name: str, statistic: Statistic, rewards_B: np.ndarray, ratings_B: np.ndarray, places: Sequence[np.ndarray]
) -> Measure:
    if len(places) == 1:  # of one prompt, the rows are resampled
        places = [np.array([row]) for row in places[0]]

    def resampled(drawn: np.ndarray) -> float:
        rows = np.concatenate([places[int(place)] for place in drawn])
        return statistic(rewards_B[rows], ratings_B[rows])

    low, high = _bootstrap((np.arange(len(places)),), resampled)
    return Measure(name, statistic(rewards_B, ratings_B), low, high, len(rewards_B), chance=0.0)


def _places(groups: Sequence[Hashable]) -> list[np.ndarray]:
    """The rows of each group, in the order of their first."""
    found: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        found.setdefault(group, []).append(row)
    return [np.array(rows) for rows in found.values()]


def _without_noise(rewards: Sequence[float]) -> np.ndarray:
    """Rewards on a grid, so that what differs by an encoder's noise is a tie."""
    return np.round(np.asarray(rewards, dtype=float) / TIE) * TIE


def _without_warning(compute: Callable[[], Any]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(compute())
    return 0.0 if np.isnan(value) else value


def _bootstrap(data: tuple[np.ndarray, ...], statistic: Callable[..., float]) -> tuple[float, float]:
    """The 95 % percentile interval; each array is resampled by itself, with a fixed seed."""
    from scipy.stats import bootstrap

    found = bootstrap(
        data, statistic, n_resamples=RESAMPLES, method="percentile", vectorized=False, rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)
