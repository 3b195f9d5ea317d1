"""Which arm's explanations are preferred: Bradley-Terry on pairwise comparisons, on the Elo scale, with intervals.

Unlike a running Elo rating it does not depend on the order of the comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pgsrm_plugin.report.stats import Interval

SCALE, MIDDLE = 400 / math.log(10), 1500.0
RESAMPLES = 1000
_PRIOR = 0.5
"""Wins that each pair of arms has from the start, so that an arm that never won has a rating."""


def ratings(wins_AA: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    r"""Strengths on the Elo scale with mean 1500, by Newton's method.

    :math:`P(i \text{ before } j) = 1 / (1 + 10^{(r_j - r_i)/400})`.

    Args:
        wins_AA: how often the row's arm was preferred to the column's; a tie is half a win of both.

    >>> ratings(np.array([[0.0, 3.0], [1.0, 0.0]]), ).round(1).tolist()  # with the prior, odds of 3.5 to 1.5
    [1573.6, 1426.4]
    """
    wins_AA = wins_AA + _PRIOR * (1 - np.eye(len(wins_AA)))
    met_AA, won_A = wins_AA + wins_AA.T, wins_AA.sum(1)
    log_A = np.zeros(len(wins_AA))
    for _ in range(100):
        chance_AA = 1 / (1 + np.exp(log_A[None] - log_A[:, None]))
        weight_AA = met_AA * chance_AA * (1 - chance_AA)
        # The likelihood knows differences only: the constant added to its curvature keeps the mean at 0.
        curvature_AA = np.diag(weight_AA.sum(1)) - weight_AA + 1 / len(log_A)
        step_A = np.linalg.solve(curvature_AA, won_A - (met_AA * chance_AA).sum(1))
        log_A = log_A + np.clip(step_A, -2, 2)
        if np.abs(step_A).max() < 1e-9:
            break
    rated_A: npt.NDArray[np.float64] = MIDDLE + SCALE * (log_A - log_A.mean())
    return rated_A


def wins(scores_AQ: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of each comparison, by question: (Q, A, A), 1 where the row's arm has the higher score, 1/2 for a tie."""
    ahead = scores_AQ.T[:, :, None] - scores_AQ.T[:, None, :]
    won: npt.NDArray[np.float64] = (ahead > 0) + 0.5 * (ahead == 0)
    return won * (1 - np.eye(len(scores_AQ)))


def elo(scores: Mapping[str, Sequence[Sequence[float]]]) -> tuple[dict[str, Interval], dict[tuple[str, str], Interval]]:
    """The rating of each arm, and the difference of each two, with 95 % bootstrap intervals over seeds and questions.

    Args:
        scores: by arm, for each seed, a score for each question; seeds and questions are the same for all arms.
    """
    names = list(scores)
    won_SQAA = np.stack([wins(np.array(by_seed)) for by_seed in zip(*scores.values(), strict=True)])
    seeds, questions = won_SQAA.shape[:2]
    rng, drawn = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        chosen = won_SQAA[rng.integers(seeds, size=seeds)][:, rng.integers(questions, size=questions)]
        drawn.append(ratings(chosen.sum((0, 1))))
    at, drawn_RA = ratings(won_SQAA.sum((0, 1))), np.array(drawn)

    def spread(value: float, values: npt.NDArray[np.float64]) -> Interval:
        low, high = np.percentile(values, [2.5, 97.5])
        return Interval(float(value), float(low), float(high))

    each = {name: spread(at[i], drawn_RA[:, i]) for i, name in enumerate(names)}
    gaps = {
        (one, other): spread(at[i] - at[j], drawn_RA[:, i] - drawn_RA[:, j])
        for i, one in enumerate(names)
        for j, other in enumerate(names)
        if i != j
    }
    return each, gaps
