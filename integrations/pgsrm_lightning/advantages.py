r"""Advantages: who did better than expected, and by how much. Pure functions of tensors.

Shape suffixes: ``B`` rows, ``T`` response tokens. ``total`` sums over all processes; the default is for one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from pgsrm_lightning.losses import masked_sum

Total = Callable[[Tensor], Tensor]


def alone(value: Tensor) -> Tensor:
    """The sum over the processes when there is one."""
    return value


def token_rewards(scores_B: Tensor, logp_BT: Tensor, ref_logp_BT: Tensor, mask_BT: Tensor, kl_coef: float) -> Tensor:
    r"""The reward of each token: :math:`-\beta (\log \pi - \log \pi_{ref})` plus, on the last token, the score.

    This is PPO's KL penalty in its classic place (Ziegler et al., arXiv 1909.08593); the value head learns it too.

    >>> mask = torch.tensor([[1, 1, 0]]).bool()
    >>> token_rewards(torch.tensor([1.0]), torch.tensor([[-1.0, -2.0, 0.0]]), torch.full((1, 3), -3.0), mask, 0.1)
    tensor([[-0.2000,  0.9000,  0.0000]])
    """
    rewards_BT = torch.where(mask_BT, -kl_coef * (logp_BT - ref_logp_BT), 0.0)
    last_BT = mask_BT & (mask_BT.long().cumsum(-1) == mask_BT.sum(-1, keepdim=True))
    return rewards_BT + last_BT * scores_B.to(rewards_BT.dtype).unsqueeze(-1)


def gae(rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    r"""Generalised advantage estimation (arXiv 1506.02438) over right-padded responses:

    .. math:: A_t = \delta_t + \gamma \lambda A_{t+1}, \quad \delta_t = r_t + \gamma V_{t+1} - V_t

    with :math:`V = A = 0` past the last token: a response that ran out of tokens ends there like any other.

    Returns:
        advantages and returns (:math:`A + V`), (B, T), 0 where masked out.

    >>> mask = torch.ones(1, 2, dtype=torch.bool)
    >>> gae(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.5]]), mask, gamma=1.0, lam=0.5)
    (tensor([[0.2500, 0.5000]]), tensor([[0.7500, 1.0000]]))
    """
    values_BT = torch.where(mask_BT, values_BT, 0.0)
    next_values_BT = torch.cat([values_BT[:, 1:], torch.zeros_like(values_BT[:, :1])], dim=1)
    deltas_BT = torch.where(mask_BT, rewards_BT + gamma * next_values_BT - values_BT, 0.0)
    advantages_BT = torch.zeros_like(deltas_BT)
    running_B = torch.zeros_like(deltas_BT[:, 0])
    for t in reversed(range(deltas_BT.shape[1])):
        running_B = deltas_BT[:, t] + gamma * lam * running_B
        advantages_BT[:, t] = running_B
    return advantages_BT, advantages_BT + values_BT


def moments(values: Tensor, mask: Tensor, total: Total = alone) -> tuple[Tensor, Tensor]:
    """Mean and population variance of the entries that count, over all processes; 0 and 0 where there are none."""
    count = total(mask.sum().to(values.dtype)).clamp(min=1)
    mean = total(masked_sum(values, mask)) / count
    return mean, total(masked_sum((values - mean) ** 2, mask)) / count


def whiten(values: Tensor, mask: Tensor, spread: Tensor, total: Total = alone) -> Tensor:
    r""":math:`(x - \mu) / d` over the entries that count; 0 elsewhere, and everywhere if :math:`\sigma \le 10^{-6}`.

    :math:`d` is the deviation :math:`\sigma` (the population's) where it has to do with the rewards' own, ``spread``.
    What is left where the critic explains the rewards is noise, of the KL penalty for instance, and so is what is left
    where all rewards are equal; divided by its own deviation it would become a step of full size. So

    .. math:: d = \max(\sigma, s / 100) \text{ where } s > \sigma / 100 \text{ and } s > 10^{-6}, \quad
              d = \max(\sigma, 1) \text{ where the rewards are (almost) equal}

    with :math:`s` the ``spread``: noise keeps its size, in units of the rewards or of a hundredth of their deviation.

    Args:
        spread: deviation of the rewards over the rows of all processes, a scalar.

    >>> whiten(torch.tensor([1.0, 3.0, 99.0]), torch.tensor([True, True, False]), spread=torch.tensor(1.0))
    tensor([-1.,  1.,  0.])
    >>> whiten(torch.tensor([-0.0001, 0.0001]), torch.tensor([True, True]), spread=torch.tensor(0.0))
    tensor([-1.0000e-04,  1.0000e-04])
    """
    mean, variance = moments(values, mask, total)
    std, spread = variance.sqrt(), spread.to(values)
    varied = spread > torch.clamp(std / 100, min=1e-6)
    divisor = torch.maximum(std, torch.where(varied, spread / 100, 1.0))
    return torch.where(mask.bool() & (std > 1e-6), (values - mean) / divisor, 0.0)


def group_rows(groups: Sequence[Hashable], scored_B: Tensor) -> list[Tensor]:
    """The scored rows of each group, in order of first appearance; a group without one is left out."""
    members: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        if bool(scored_B[row]):
            members.setdefault(group, []).append(row)
    return [torch.tensor(rows) for rows in members.values()]


def group_advantages(
    rewards_B: Tensor, groups: Sequence[Hashable], scored_B: Tensor, noise: float = 1e-6, eps: float = 1e-8
) -> Tensor:
    r"""GRPO's advantages :math:`(r - \mathrm{mean}) / (\mathrm{std} + \epsilon)` within each group (arXiv 2402.03300).

    The standard deviation is the population's. A group with :math:`\mathrm{std} \le` ``noise`` gets exactly 0: else
    two identical answers whose rewards differ by rounding would become advantages of +-1. A group of one gets 0 too.
    Rows that were not scored get 0 and do not enter their group's statistics.

    >>> group_advantages(torch.tensor([1.0, 3.0, 5.0]), ["a", "a", "b"], torch.ones(3, dtype=torch.bool))
    tensor([-1.,  1.,  0.])
    """
    advantages_B = torch.zeros_like(rewards_B)
    for rows in group_rows(groups, scored_B):
        group = rewards_B[rows]
        std = group.std(correction=0)
        if float(std) > noise:
            advantages_B[rows] = (group - group.mean()) / (std + eps)
    return advantages_B


def standardised(values: Tensor, mask: Tensor, total: Total = alone) -> Tensor:
    r""":math:`(x - \mu) / \sigma` over the entries that count (population :math:`\sigma`); 0 elsewhere.

    Where :math:`\sigma \le 10^{-6}` there is nothing to tell apart and all are 0.
    On one process this is the last step of ``aggregate: group_normalised`` (:func:`pgsrm_plugin.functional.zscore`).

    >>> standardised(torch.tensor([1.0, 3.0, 99.0]), torch.tensor([True, True, False]))
    tensor([-1.,  1.,  0.])
    """
    mean, variance = moments(values, mask, total)
    std = variance.sqrt()
    return torch.where(mask.bool() & (std > 1e-6), (values - mean) / std, 0.0)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor, total: Total = alone) -> Tensor:
    r""":math:`1 - \mathrm{Var}(R - V) / \mathrm{Var}(R)`: 1 is a perfect critic, 0 a constant one.

    Below 0 the critic does harm. 0 where the returns do not vary.

    >>> explained_variance(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0]), torch.ones(2))
    tensor(0.7500)
    """
    _, variance = moments(returns, mask, total)
    _, residual = moments(returns - values, mask, total)
    return torch.where(variance > 1e-12, 1.0 - residual / variance.clamp(min=1e-12), 0.0)
