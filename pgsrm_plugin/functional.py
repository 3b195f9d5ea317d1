r"""The mathematics of the reward, as pure functions of tensors.

Everything after the embeddings is float64 on the CPU: it costs nothing there and keeps rounding out of comparisons.
Shape suffixes: ``P`` (response, reference) pairs, ``B`` rows, ``D`` dimensions, ``M`` references of one row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

_ONE_THREAD = 4 * 65_536
"""Multiplications of one product up to which OpenBLAS stays in the calling thread."""
_GRAIN = 32_768
"""Numbers up to which an operation of torch does."""


def cosine(a_PD: torch.Tensor, b_PD: torch.Tensor) -> torch.Tensor:
    r"""Cosine of paired vectors, :math:`a \cdot b / (\lVert a \rVert \lVert b \rVert)`.

    Args:
        a_PD: (P, D), no zero rows.
        b_PD: (P, D), no zero rows.

    Returns:
        (P,) float64 in [-1, 1].

    Raises:
        ValueError: shapes differ, or a row has norm zero (its cosine is undefined).

    >>> cosine(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([0.6000], dtype=torch.float64)
    """
    if a_PD.shape != b_PD.shape:
        raise ValueError(f"cosine needs equal shapes, not {tuple(a_PD.shape)} and {tuple(b_PD.shape)}")
    a_PD, b_PD = a_PD.double(), b_PD.double()
    norms_P = a_PD.norm(dim=-1) * b_PD.norm(dim=-1)
    if bool((norms_P == 0).any()):
        raise ValueError("the cosine of a zero vector is undefined")
    cos_P: torch.Tensor = (a_PD * b_PD).sum(-1) / norms_P
    return cos_P.clamp(-1.0, 1.0)


def unit_rows(states_TD: torch.Tensor) -> torch.Tensor:
    """Each row over its norm, (T, D) float64, in the calling thread; a row of zeros stays one.

    >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]], dtype=torch.float64)
    """
    rows = max(1, _GRAIN // max(1, states_TD.shape[1]))
    return torch.cat([torch.nn.functional.normalize(block.double(), dim=-1) for block in torch.split(states_TD, rows)])


def dot_products(a_RD: npt.NDArray[np.float64], b_TD: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Every row of one with every row of the other, (R, T): :math:`A B^T`, in the calling thread.

    Two texts' states are so small that to start threads for them costs ten times what is computed, and numpy and torch
    do start them; so the product is taken in blocks of rows that are below BLAS's own bound.

    >>> dot_products(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
    array([[11.,  2.]])
    """
    rows = max(1, _ONE_THREAD // max(1, b_TD.size))
    blocks = [a_RD[start : start + rows] @ b_TD.T for start in range(0, len(a_RD), rows)]
    return np.concatenate(blocks) if blocks else np.zeros((0, len(b_TD)))


def clipped(cos: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    r"""The paper's reward :math:`\max(0, \cos)^\alpha`, in [0, 1] (PGSRM, arXiv 2512.06920).

    >>> clipped(torch.tensor([-0.3, 0.5, 1.0]), alpha=2.0)
    tensor([0.0000, 0.2500, 1.0000])
    """
    return cos.clamp(min=0.0) ** alpha


def affine(cos: torch.Tensor, alpha: float = 4.0) -> torch.Tensor:
    r"""The authors' public code: :math:`((\cos + 1) / 2)^\alpha`, in [0, 1], with :math:`\alpha = 4`.

    >>> affine(torch.tensor([0.0, 0.5, 0.8, 0.9])).round(decimals=3)
    tensor([0.0620, 0.3160, 0.6560, 0.8150])
    """
    return (((cos + 1.0) / 2.0).clamp(0.0, 1.0)) ** alpha


def euclidean(cos: torch.Tensor) -> torch.Tensor:
    r"""One minus the distance of the unit vectors, :math:`1 - \sqrt{2 - 2\cos}`, clamped to [-1, 1] (authors' code).

    >>> euclidean(torch.tensor([1.0, 0.5, -1.0]))
    tensor([ 1.,  0., -1.])
    """
    return (1.0 - (2.0 - 2.0 * cos).clamp(min=0.0).sqrt()).clamp(-1.0, 1.0)


def calibrated(cos: torch.Tensor, floor: float, alpha: float = 1.0) -> torch.Tensor:
    r"""Cosine above that of unrelated text: :math:`\max(0, (\cos - f) / (1 - f))^\alpha`, in [0, 1].

    Args:
        floor: :math:`f`, the cosine of mismatched pairs under the same encoder, in [-1, 1).

    >>> calibrated(torch.tensor([0.2, 0.6, 1.0]), floor=0.2)
    tensor([0.0000, 0.5000, 1.0000])
    """
    return ((cos - floor) / (1.0 - floor)).clamp(min=0.0) ** alpha


def quantise(values: torch.Tensor, step: float, low: float, high: float) -> torch.Tensor:
    r"""Values rounded to a grid, :math:`q(x) = \min(h, \max(l, s \, \mathrm{round}(x / s)))`; halves go to even.

    Values that fall on one point of the grid come out bit-identical, so that an encoder's rounding errors
    (1e-7 in float32, 1e-3 in bfloat16) give no advantage where the standard deviation of a group is divided by.
    Two values closer than :math:`s` can still fall on neighbouring points: the chance is their distance over :math:`s`.

    Args:
        values: any shape.
        step: :math:`s`, the distance of the grid's points, greater than 0.
        low: :math:`l`, the least value.
        high: :math:`h`, the greatest.

    >>> quantise(torch.tensor([0.1234, 0.1251, 0.999]), step=0.01, low=0.0, high=1.0)
    tensor([0.1200, 0.1300, 1.0000])
    """
    return (torch.round(values / step) * step).clamp(low, high)


def f_measure(precision: float, recall: float, beta: float = 1.0) -> float:
    r"""The weighted harmonic mean :math:`(1 + \beta^2) P R / (\beta^2 P + R)`; 0 where both are.

    >>> f_measure(0.5, 1.0), f_measure(0.5, 1.0, beta=2.0), f_measure(0.0, 0.0)
    (0.6666666666666666, 0.8333333333333334, 0.0)
    """
    weight = beta**2
    both = weight * precision + recall
    return (1 + weight) * precision * recall / both if both > 0 else 0.0


def matched(values: Sequence[Sequence[float]]) -> float:
    """The greatest sum of a one-to-one matching of rows with columns (the assignment problem).

    Args:
        values: what each pair is worth, row by row, none below 0.

    >>> matched([[1.0, 0.9], [0.8, 0.0]])
    1.7000000000000002
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(values, maximize=True)
    return math.fsum(values[row][column] for row, column in zip(rows, columns, strict=True))


def lcs_length(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The length of a longest common subsequence, by bit vectors (Crochemore et al. 2001).

    >>> lcs_length("human", "chimpanzee")
    4
    """
    places: dict[Hashable, int] = {}
    for i, item in enumerate(a):
        places[item] = places.get(item, 0) | 1 << i
    mask = unmatched = (1 << len(a)) - 1
    for item in b:
        hits = unmatched & places.get(item, 0)
        unmatched = (unmatched + hits | unmatched - hits) & mask
    return len(a) - unmatched.bit_count()


MOST_UNREAD = 0.8
"""The most that is left of a likeness where one unknown word stands for another."""


def unread_factor(a: Sequence[str], b: Sequence[str], words: int) -> float:
    r"""What unknown words leave of the likeness of two texts, in [0, 1].

    An encoder has one vector for all words that it does not know, so these are compared as words: :math:`u` of the one
    text's and :math:`v` of the other's are in no longest common subsequence. With :math:`s = \min(1, (u + v) / n)` that
    is :math:`1 - s`, and at most :data:`MOST_UNREAD` where :math:`u` and :math:`v` are both above 0: one unknown word
    stands for another, which no cosine can see.

    Args:
        a: the unknown words of one text, in its order.
        b: those of the other.
        words: :math:`n`, how many words both texts have together, known ones included.

    >>> [unread_factor(["猫"], ["狗"], words) for words in (4, 60)], unread_factor(["猫"], [], words=4)
    ([0.5, 0.8], 0.75)
    """
    common = lcs_length(a, b)
    here, there = len(a) - common, len(b) - common
    if not here and not there:
        return 1.0
    left = 1.0 - min(1.0, (here + there) / max(words, 1))
    return min(left, MOST_UNREAD) if here and there else left


def logistic(log_odds: float, centre: float, scale: float) -> float:
    r"""A probability beside another, :math:`\sigma((\mathrm{logit}\,p - \mathrm{logit}\,c) / s)`, in [0, 1].

    Args:
        log_odds: :math:`\mathrm{logit}\,p`, any finite number.
        centre: the probability :math:`c` in (0, 1) that becomes one half.
        scale: :math:`s` above 0; 1 and ``centre`` 0.5 give :math:`p` back.

    >>> logistic(math.log(0.2 / 0.8), 0.5, 1.0)
    0.2
    >>> logistic(math.log(0.2 / 0.8), 0.2, 0.1)
    0.5
    """
    shifted = (log_odds - math.log(centre / (1.0 - centre))) / scale
    if shifted < 0:  # the form whose exponential cannot overflow
        grown = math.exp(max(shifted, -700.0))
        return grown / (1.0 + grown)
    return 1.0 / (1.0 + math.exp(-shifted))


def softmax_mean(values_M: torch.Tensor, scores_M: torch.Tensor, temperature: float) -> torch.Tensor:
    r"""The mean of ``values`` with weights :math:`\mathrm{softmax}(s / \tau)`; a scalar.

    >>> softmax_mean(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.5]), temperature=0.1)
    tensor(0.5000)
    """
    return (torch.softmax(scores_M / temperature, dim=-1) * values_M).sum(-1)


def softmax_share(scores_M: torch.Tensor, temperature: float) -> float:
    r"""The first of the weights :math:`\mathrm{softmax}(s / \tau)`, in [0, 1].

    >>> softmax_share(torch.tensor([0.5, 0.5, 0.5, 0.5]), temperature=0.1)
    0.25
    """
    return float(torch.softmax(scores_M / temperature, dim=-1)[0])


def mean_distance(cosines: Sequence[float], nearest: int) -> float:
    r"""The mean of :math:`1 - \max(0, \cos)` to the nearest others, in [0, 1]; 0 without others.

    >>> round(mean_distance([0.9, 0.5, 0.1], nearest=2), 9), mean_distance([-0.5], nearest=3), mean_distance([], 3)
    (0.3, 1.0, 0.0)
    """
    near = sorted(cosines, reverse=True)[:nearest]
    return math.fsum(1.0 - min(1.0, max(0.0, cos)) for cos in near) / len(near) if near else 0.0


def medoid(texts: Sequence[str], cosines: Mapping[tuple[str, str], float]) -> str:
    """The text with the greatest sum of cosines to all of them, repeats counted; of equals the first by spelling.

    >>> medoid(["a", "b", "b"], {("a", "a"): 1, ("b", "b"): 1, ("a", "b"): 0.5, ("b", "a"): 0.5})
    'b'
    """
    sums = {one: math.fsum(sorted(cosines[one, other] for other in texts)) for one in set(texts)}
    return min(sums, key=lambda one: (-sums[one], one))


def most_frequent(texts: Sequence[str]) -> str:
    """The text that comes most often; of equals the first by spelling.

    >>> most_frequent(["7", "5", "7", "5", "3"])
    '5'
    """
    counted = Counter(texts)
    return min(counted, key=lambda text: (-counted[text], text))


def zscore(values: Sequence[float], eps: float = 1e-6) -> list[float]:
    r"""Standard scores :math:`(x - \mu) / \sigma`, all 0 where :math:`\sigma \le` ``eps``.

    :math:`\sigma` is the population's. The sums are exactly rounded (``math.fsum``), so the result
    does not depend on the order of the values.

    >>> zscore([1.0, 3.0])
    [-1.0, 1.0]
    >>> zscore([0.5, 0.5 + 1e-9])
    [0.0, 0.0]
    """
    if not values:
        return []
    mean = math.fsum(values) / len(values)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / std if std > eps else 0.0 for value in values]


def group_zscore(values: Sequence[float], groups: Sequence[Hashable]) -> list[float]:
    """:func:`zscore` within each group, in the order of the rows.

    >>> group_zscore([1.0, 5.0, 3.0, 5.0], ["a", "b", "a", "b"])
    [-1.0, 0.0, 1.0, 0.0]
    """
    members: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    scores = [0.0] * len(values)
    for rows in members.values():
        for row, score in zip(rows, zscore([values[row] for row in rows]), strict=True):
            scores[row] = score
    return scores
