r"""The mathematics of likelihood rewards: :math:`l_j` is the log-probability of a reference's token :math:`j`."""

from __future__ import annotations

import math
from collections.abc import Sequence


def log_prob(logprobs: Sequence[float], clip: float = math.inf) -> float:
    r""":math:`\sum_j l_j`, whose mean is not below ``-clip``.

    >>> round(log_prob([-0.1, -0.7, -2.3]), 6), log_prob([-0.1, -0.7, -2.3], clip=1.0)
    (-3.1, -3.0)
    """
    return max(math.fsum(logprobs), -clip * len(logprobs))


def avg_log_prob(logprobs: Sequence[float], clip: float = math.inf) -> float:
    r""":math:`\frac{1}{n} \sum_j l_j`, not below ``-clip``.

    >>> round(avg_log_prob([-0.1, -0.7, -2.3]), 6)
    -1.033333
    """
    return max(math.fsum(logprobs) / len(logprobs), -clip)


def prob(logprobs: Sequence[float]) -> float:
    r""":math:`\exp \sum_j l_j`, that the reference is written as it is (VeriFree, arXiv 2505.21493).

    >>> round(prob([-0.1, -0.7, -2.3]), 7)
    0.0450492
    """
    return math.exp(math.fsum(logprobs))


def avg_prob(logprobs: Sequence[float]) -> float:
    r""":math:`\frac{1}{n} \sum_j \exp l_j` (RLPR, arXiv 2506.18254).

    >>> round(avg_prob([-0.1, -0.7, -2.3]), 7)
    0.5005605
    """
    return math.fsum(map(math.exp, logprobs)) / len(logprobs)


def log_sum_exp(values: Sequence[float]) -> float:
    r""":math:`\log \sum_i \exp v_i`.

    >>> round(log_sum_exp([-3.1, -2, -5]), 7)
    -1.6759922
    """
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def reasoning_perplexity(mean_nll: float, reasoning_tokens: int) -> float:
    r""":math:`\exp(\mathrm{nll} / \max(1, 1 + \log_{10} |z|))`: of a reference after long reasoning (NOVER, arXiv
    2505.16022, whose code has this).

    >>> [round(reasoning_perplexity(1.2, tokens), 7) for tokens in (100, 10, 1, 0)]
    [1.4918247, 1.8221188, 3.3201169, 3.3201169]
    """
    return math.exp(mean_nll / (1 + math.log10(max(1, reasoning_tokens))))


def rank_rewards(perplexities: Sequence[float]) -> list[float]:
    r""":math:`(V - \mathrm{rank}_i) / V` of :math:`V` perplexities, where the rank is how many are lower (NOVER).

    >>> [round(reward, 4) for reward in rank_rewards([1.5, 1.2, 2.0])]
    [0.6667, 1.0, 0.3333]
    """
    many = len(perplexities)
    return [(many - sum(other < own for other in perplexities)) / many for own in perplexities]


def group_credits(log_probs: Sequence[float]) -> list[float]:
    r"""What each of a group's :math:`L_i` adds to :math:`R = \log \frac{1}{G} \sum_i \exp L_i`; 0 for one alone.

    :math:`R - \log \frac{1}{G - 1} \sum_{j \ne i} \exp L_j` (JEPO, arXiv 2503.19618).

    >>> [round(credit, 7) for credit in group_credits([-3.1, -2, -5])]
    [-0.1300446, 0.879156, -0.3687926]
    """
    many = len(log_probs)
    if many == 1:
        return [0.0]
    whole = log_sum_exp(log_probs) - math.log(many)
    others = [[*log_probs[:i], *log_probs[i + 1 :]] for i in range(many)]
    return [whole - (log_sum_exp(rest) - math.log(many - 1)) for rest in others]
