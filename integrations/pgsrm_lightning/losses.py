r"""Losses and estimators of policy optimisation, as pure functions of tensors.

Shape suffixes: ``B`` rows, ``T`` response tokens, ``V`` vocabulary. A mask is 1 (or True) where a token counts: every
token of the response up to and including its end-of-text token. Functions ending in a per-token tensor are reduced by
:func:`masked_sum` over a denominator that the caller knows, so that micro-batches add up to their minibatch.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    r""":math:`\sum_i m_i x_i`; masked-out entries may hold anything finite or not.

    >>> masked_sum(torch.tensor([1.0, float("nan"), 3.0]), torch.tensor([True, False, True]))
    tensor(4.)
    """
    return torch.where(mask.bool(), values, 0.0).sum()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    r""":math:`\sum_i m_i x_i / \sum_i m_i`, and 0 where nothing counts.

    >>> masked_mean(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([1, 0, 1]))
    tensor(3.5000)
    """
    return masked_sum(values, mask) / mask.sum().clamp(min=1)


def token_logprobs(logits_BTV: Tensor, tokens_BT: Tensor, temperature: float = 1.0) -> Tensor:
    r""":math:`\log \mathrm{softmax}(z / \tau)` at the given tokens, (B, T) float32.

    >>> token_logprobs(torch.zeros(1, 1, 4), torch.tensor([[2]]))
    tensor([[-1.3863]])
    """
    scaled_BTV = logits_BTV.float() / temperature
    chosen_BT = scaled_BTV.gather(-1, tokens_BT.unsqueeze(-1)).squeeze(-1)
    return chosen_BT - scaled_BTV.logsumexp(-1)


def entropy(logits_BTV: Tensor, temperature: float = 1.0) -> Tensor:
    r"""Entropy :math:`-\sum_v p_v \log p_v` of :math:`p = \mathrm{softmax}(z / \tau)`, in nats, (B, T) float32.

    >>> entropy(torch.zeros(1, 1, 4))
    tensor([[1.3863]])
    """
    logp_BTV = torch.log_softmax(logits_BTV.float() / temperature, dim=-1)
    return -(logp_BTV.exp() * logp_BTV).sum(-1)


def clipped_policy_loss(logp_BT: Tensor, old_logp_BT: Tensor, advantages_BT: Tensor, clip: float) -> Tensor:
    r"""PPO's pessimistic surrogate (arXiv 1707.06347, eq. 7), per token, to be minimised:

    .. math:: -\min(\rho A, \mathrm{clip}(\rho, 1 - \epsilon, 1 + \epsilon) A), \quad
              \rho = \exp(\log \pi - \log \pi_{old})

    >>> zero, ratio = torch.zeros(1), torch.tensor([1.5]).log()
    >>> clipped_policy_loss(ratio, zero, torch.tensor([2.0]), 0.2)
    tensor([-2.4000])
    >>> clipped_policy_loss(ratio, zero, torch.tensor([-2.0]), 0.2)
    tensor([3.])
    """
    ratio_BT = torch.exp(logp_BT - old_logp_BT)
    bounded_BT = ratio_BT.clamp(1.0 - clip, 1.0 + clip)
    return -torch.minimum(ratio_BT * advantages_BT, bounded_BT * advantages_BT)


def is_clipped(logp_BT: Tensor, old_logp_BT: Tensor, advantages_BT: Tensor, clip: float) -> Tensor:
    """Where :func:`clipped_policy_loss` has no gradient: the ratio left the band on the rewarded side.

    >>> up = torch.tensor([1.5, 1.5, 1.1]).log()
    >>> is_clipped(up, torch.zeros(3), torch.tensor([1.0, -1.0, 1.0]), 0.2)
    tensor([ True, False, False])
    """
    ratio_BT = torch.exp(logp_BT - old_logp_BT)
    too_high_BT = (ratio_BT > 1.0 + clip) & (advantages_BT > 0)
    too_low_BT = (ratio_BT < 1.0 - clip) & (advantages_BT < 0)
    return too_high_BT | too_low_BT


def reinforce_loss(logp_BT: Tensor, advantages_BT: Tensor) -> Tensor:
    r"""The score-function surrogate :math:`-A \log \pi` (Williams, 1992), per token, to be minimised.

    >>> reinforce_loss(torch.tensor([-0.5]), torch.tensor([2.0]))
    tensor([1.])
    """
    return -advantages_BT * logp_BT


def importance_ratios(
    logp_BT: Tensor, sampler_logp_BT: Tensor, mask_BT: Tensor, level: Literal["token", "sequence"]
) -> Tensor:
    r"""How much likelier the policy was to take a token than what it was drawn from, (B, T); 1 where nothing counts.

    .. math:: \frac{\pi(y_t)}{\mu(y_t)} \;\text{(token)}, \qquad
              \prod_{t'} \frac{\pi(y_{t'})}{\mu(y_{t'})} \;\text{(sequence, the same on all tokens of a row)}

    Logarithms are kept below 20, so that a mean of ratios stays finite. Exactly 1 where both log-probabilities are
    equal.

    >>> pi, mu = torch.tensor([[0.2, 0.1]]).log(), torch.tensor([[0.1, 0.2]]).log()
    >>> importance_ratios(pi, mu, torch.tensor([[True, True]]), "token")
    tensor([[2.0000, 0.5000]])
    >>> importance_ratios(pi, mu, torch.tensor([[True, True]]), "sequence")
    tensor([[1., 1.]])
    """
    log_BT = torch.where(mask_BT, logp_BT - sampler_logp_BT, 0.0)
    if level == "sequence":
        log_BT = log_BT.sum(-1, keepdim=True).expand_as(log_BT)
    return log_BT.clamp(max=20.0).exp()


def truncated_weights(ratios_BT: Tensor, cap: float) -> Tensor:
    r"""Truncated importance sampling, :math:`\min(\rho, C)`, for what does not take gradients.

    Ionides, Truncated importance sampling, 2008; for an inference engine as the sampler: Yao et al., Your efficient RL
    framework secretly brings you off-policy RL training, 2025, and ``token_truncate`` and ``sequence_truncate`` of TRL.

    >>> truncated_weights(torch.tensor([0.5, 3.0]), cap=2.0)
    tensor([0.5000, 2.0000])
    """
    return ratios_BT.detach().clamp(max=cap)


def clipped_value_loss(values_BT: Tensor, old_values_BT: Tensor, returns_BT: Tensor, clip: float) -> Tensor:
    r"""Half the larger squared error of the value and of the value kept within ``clip`` of the old one, per token:

    .. math:: \tfrac12 \max\big((V - R)^2, (V_{old} + \mathrm{clip}(V - V_{old}, -c, c) - R)^2\big)

    >>> clipped_value_loss(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([1.0]), 0.2)
    tensor([0.3200])
    """
    bounded_BT = old_values_BT + (values_BT - old_values_BT).clamp(-clip, clip)
    return 0.5 * torch.maximum((values_BT - returns_BT) ** 2, (bounded_BT - returns_BT) ** 2)


def kl_k1(logp_BT: Tensor, ref_logp_BT: Tensor) -> Tensor:
    r"""The plain estimate :math:`\log \pi - \log \pi_{ref}` of KL(pi, ref): unbiased, of either sign (k1)."""
    return logp_BT - ref_logp_BT


def kl_k3(logp_BT: Tensor, ref_logp_BT: Tensor) -> Tensor:
    r"""The estimate :math:`e^{d} - d - 1`, :math:`d = \log \pi_{ref} - \log \pi`: unbiased, never negative (k3).

    Its gradient through ``logp_BT`` is the KL term of GRPO (arXiv 2402.03300, eq. 4).

    >>> kl_k3(torch.tensor([0.0]), torch.tensor([2.0]).log())
    tensor([0.3069])
    """
    log_ratio_BT = ref_logp_BT - logp_BT
    return torch.expm1(log_ratio_BT) - log_ratio_BT


def adapt_kl_coef(coef: float, kl: float, target: float) -> float:
    """The coefficient of the next step: times 1.5 above 1.5 target, divided by 1.5 below target / 1.5, else the same.

    It stays within [1e-6, 10] (or at 0, where it was 0), so that after a long quiet time it comes back within steps.

    >>> adapt_kl_coef(0.1, kl=2.0, target=1.0), adapt_kl_coef(0.15, kl=0.5, target=1.0), adapt_kl_coef(0.1, 1.2, 1.0)
    (0.15000000000000002, 0.09999999999999999, 0.1)
    """
    if coef == 0.0:
        return 0.0
    if kl > 1.5 * target:
        return min(coef * 1.5, max(coef, 10.0))
    if kl < target / 1.5:
        return max(coef / 1.5, min(coef, 1e-6))
    return coef
