"""Log-probabilities and entropies of hidden states, piece by piece: the logits of all tokens never exist at once.

Shape suffixes: ``M`` tokens, ``D`` hidden size, ``V`` vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PIECE = 1 << 22
"""Logits held at once, in numbers (16 MiB in float32; near 32, where glibc changes its ways, freed pieces pile up)."""
KEPT = 1 << 26
"""Probabilities that a pass with gradient keeps for its backward pass, at most, in numbers (256 MiB in float32)."""


def token_statistics(
    states_MD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_M: Tensor,
    temperature: float,
    piece: int = PIECE,
    kept: int = KEPT,
) -> tuple[Tensor, Tensor]:
    r"""Log-probability of the targets, and entropy, under :math:`\mathrm{softmax}((W h + b) / \tau)`, (M,) float32.

    As :func:`~pgsrm_lightning.losses.token_logprobs` and :func:`~pgsrm_lightning.losses.entropy` of the logits, with
    their gradients; these compute the logits anew where they are more than ``kept``. Products are taken in autocast's
    type where it is on.

    >>> token_statistics(torch.zeros(1, 3), torch.ones(4, 3), None, torch.tensor([2]), 1.0)
    (tensor([-1.3863]), tensor([1.3863]))
    """
    rows, keeps = max(1, piece // len(weight_VD)), torch.is_grad_enabled() and len(states_MD) * len(weight_VD) <= kept
    result: tuple[Tensor, Tensor] = _Statistics.apply(  # type: ignore[no-untyped-call]
        states_MD, weight_VD, bias_V, targets_M, temperature, rows, _dtype(states_MD, weight_VD), keeps
    )
    return result


@torch.no_grad()
def target_logprobs(
    states_MD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_M: Tensor,
    temperature: float,
    piece: int = PIECE,
) -> Tensor:
    """The log-probabilities of :func:`token_statistics` alone, without gradient.

    >>> target_logprobs(torch.zeros(1, 3), torch.ones(4, 3), None, torch.tensor([2]), 1.0)
    tensor([-1.3863])
    """
    rows, weight, logprobs = max(1, piece // len(weight_VD)), weight_VD.to(_dtype(states_MD, weight_VD)), []
    with torch.autocast(states_MD.device.type, enabled=False):
        for states, targets in zip(torch.split(states_MD, rows), torch.split(targets_M, rows), strict=True):
            logits = _logits(states, weight, bias_V, temperature)
            chosen = logits.gather(-1, targets.unsqueeze(-1))
            top = logits.amax(-1, keepdim=True)
            logprobs.append((chosen - top - logits.sub_(top).exp_().sum(-1, keepdim=True).log_()).squeeze(-1))
    return _joined(logprobs, states_MD)


@torch.no_grad()
def soft_values(
    states_MD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_M: Tensor,
    temperature: float,
    piece: int = PIECE,
) -> tuple[Tensor, Tensor]:
    r"""The logit of each target, and :math:`\tau \log \sum_v \exp (z_v / \tau)`, (M,) float32, without gradient.

    >>> soft_values(torch.zeros(1, 3), torch.ones(4, 3), None, torch.tensor([2]), 1.0)
    (tensor([0.]), tensor([1.3863]))
    """
    rows, weight = max(1, piece // len(weight_VD)), weight_VD.to(_dtype(states_MD, weight_VD))
    chosen, soft = list[Tensor](), list[Tensor]()
    with torch.autocast(states_MD.device.type, enabled=False):
        for states, targets in zip(torch.split(states_MD, rows), torch.split(targets_M, rows), strict=True):
            logits = _logits(states, weight, bias_V, temperature)
            chosen.append(temperature * logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1))
            soft.append(temperature * logits.logsumexp(-1))
    return _joined(chosen, states_MD), _joined(soft, states_MD)


class _Statistics(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states_MD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_M: Tensor,
        temperature: float,
        rows: int,
        dtype: torch.dtype,
        keeps: bool,
    ) -> tuple[Tensor, Tensor]:
        logprobs, entropies, sums, kept = [], [], [], []
        with torch.autocast(states_MD.device.type, enabled=False):
            weight = weight_VD.to(dtype)
            for states, targets in zip(torch.split(states_MD, rows), torch.split(targets_M, rows), strict=True):
                logits = _logits(states, weight, bias_V, temperature)
                top = logits.amax(-1, keepdim=True)
                chosen = logits.sub_(top).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
                probabilities = logits.exp()
                mass = probabilities.sum(-1)
                entropies.append(mass.log() - torch.linalg.vecdot(probabilities.div_(mass.unsqueeze(-1)), logits))
                logprobs.append(chosen - mass.log())
                sums.append(mass.log_().add_(top.squeeze(-1)))
                if keeps:
                    kept.append(probabilities)
        logprobs_M, entropy_M, sums_M = (_joined(each, states_MD) for each in (logprobs, entropies, sums))
        ctx.save_for_backward(states_MD, weight_VD, bias_V, targets_M, entropy_M, sums_M, *kept)
        ctx.temperature, ctx.rows, ctx.dtype = temperature, rows, dtype
        return logprobs_M, entropy_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_logprob_M: Tensor, by_entropy_M: Tensor) -> tuple[Any, ...]:
        r"""With :math:`p = \mathrm{softmax}(z)`: :math:`\partial \log p_a / \partial z = \delta_a - p` and
        :math:`\partial H / \partial z = -p (\log p + H)`."""
        states_MD, weight_VD, bias_V, targets_M, entropy_M, sums_M, *kept = ctx.saved_tensors
        weight = weight_VD.to(ctx.dtype)
        wants_states, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        by_states = torch.empty_like(states_MD) if wants_states else None
        by_weight = torch.zeros_like(weight_VD, dtype=torch.promote_types(weight_VD.dtype, torch.float32))
        by_bias = None if bias_V is None or not wants_bias else torch.zeros_like(bias_V)
        entropic = bool(by_entropy_M.any())
        for start in range(0, len(states_MD), ctx.rows):
            here = slice(start, start + ctx.rows)
            if kept:
                probabilities = kept[start // ctx.rows]
            else:
                logits = _logits(states_MD[here], weight, bias_V, ctx.temperature)
                probabilities = logits.sub_(sums_M[here].unsqueeze(-1)).exp_()
            slope = probabilities * -by_logprob_M[here].unsqueeze(-1)
            if entropic:
                surprise = torch.xlogy(probabilities, probabilities).addcmul_(
                    probabilities, entropy_M[here].unsqueeze(-1)
                )
                slope.addcmul_(surprise, by_entropy_M[here].unsqueeze(-1), value=-1.0)
            slope.scatter_add_(-1, targets_M[here].unsqueeze(-1), by_logprob_M[here].unsqueeze(-1))
            if ctx.temperature != 1.0:
                slope /= ctx.temperature
            if by_bias is not None:
                by_bias += slope.sum(0).to(by_bias.dtype)
            slope = slope.to(ctx.dtype)
            if by_states is not None:
                by_states[here] = (slope @ weight).to(by_states.dtype)
            if wants_weight:
                if slope.dtype == by_weight.dtype:
                    by_weight.addmm_(slope.mT, states_MD[here].to(slope.dtype))
                else:
                    by_weight += slope.mT @ states_MD[here].to(slope.dtype)
        return by_states, by_weight.to(weight_VD.dtype) if wants_weight else None, by_bias, None, None, None, None, None


def _dtype(states: Tensor, weight: Tensor) -> torch.dtype:
    """Of the products."""
    kind = states.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def _logits(states: Tensor, weight: Tensor, bias_V: Tensor | None, temperature: float) -> Tensor:
    """Logits over temperature, in float32 at least."""
    bias = None if bias_V is None else bias_V.to(weight.dtype)
    logits = torch.nn.functional.linear(states.to(weight.dtype), weight, bias)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits if temperature == 1.0 else logits.div_(temperature)


def _joined(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat(parts) if parts else like.new_zeros(0, dtype=torch.float32)
