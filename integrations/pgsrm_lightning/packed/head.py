"""Log-probabilities and entropies of hidden states, piece by piece: the logits of all tokens never exist at once.

Shape suffixes: ``M`` tokens, ``D`` hidden size, ``V`` vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PIECE = 1 << 22
"""Logits held at once, in numbers (16 MiB in float32)."""


def token_statistics(
    states_MD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets_M: Tensor,
    temperature: float,
    piece: int = PIECE,
) -> tuple[Tensor, Tensor]:
    r"""Log-probability of the targets, and entropy, under :math:`\mathrm{softmax}((W h + b) / \tau)`, (M,) float32.

    As :func:`~pgsrm_lightning.losses.token_logprobs` and :func:`~pgsrm_lightning.losses.entropy` of the logits, with
    their gradients; these compute the logits anew. Products are taken in autocast's type where it is on.

    >>> token_statistics(torch.zeros(1, 3), torch.ones(4, 3), None, torch.tensor([2]), 1.0)
    (tensor([-1.3863]), tensor([1.3863]))
    """
    kind = states_MD.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight_VD.dtype
    result: tuple[Tensor, Tensor] = _Statistics.apply(  # type: ignore[no-untyped-call]
        states_MD, weight_VD, bias_V, targets_M, temperature, max(1, piece // len(weight_VD)), dtype
    )
    return result


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
    ) -> tuple[Tensor, Tensor]:
        logprobs, entropies, sums = [], [], []
        with torch.autocast(states_MD.device.type, enabled=False):
            weight = weight_VD.to(dtype)
            for states, targets in zip(torch.split(states_MD, rows), torch.split(targets_M, rows), strict=True):
                logits = _logits(states, weight, bias_V, temperature)
                sums.append(logits.logsumexp(-1))
                logprobs.append(logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1) - sums[-1])
                probabilities = (logits - sums[-1].unsqueeze(-1)).exp_()
                entropies.append(sums[-1] - torch.linalg.vecdot(probabilities, logits))
        logprobs_M, entropy_M, sums_M = (_joined(each, states_MD) for each in (logprobs, entropies, sums))
        ctx.save_for_backward(states_MD, weight_VD, bias_V, targets_M, entropy_M, sums_M)
        ctx.temperature, ctx.rows, ctx.dtype = temperature, rows, dtype
        return logprobs_M, entropy_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_logprob_M: Tensor, by_entropy_M: Tensor) -> tuple[Any, ...]:
        r"""With :math:`p = \mathrm{softmax}(z)`: :math:`\partial \log p_a / \partial z = \delta_a - p` and
        :math:`\partial H / \partial z = -p (\log p + H)`."""
        states_MD, weight_VD, bias_V, targets_M, entropy_M, sums_M = ctx.saved_tensors
        weight = weight_VD.to(ctx.dtype)
        wants_states, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        by_states = torch.empty_like(states_MD) if wants_states else None
        by_weight = torch.zeros_like(weight_VD, dtype=torch.promote_types(weight_VD.dtype, torch.float32))
        by_bias = None if bias_V is None or not wants_bias else torch.zeros_like(bias_V)
        entropic = bool(by_entropy_M.any())
        for start in range(0, len(states_MD), ctx.rows):
            here = slice(start, start + ctx.rows)
            logits = _logits(states_MD[here], weight, bias_V, ctx.temperature)
            logits -= sums_M[here].unsqueeze(-1)
            slope = logits.exp().mul_(-by_logprob_M[here].unsqueeze(-1))
            if entropic:
                slope -= logits.exp() * (logits + entropy_M[here].unsqueeze(-1)) * by_entropy_M[here].unsqueeze(-1)
            slope.scatter_add_(-1, targets_M[here].unsqueeze(-1), by_logprob_M[here].unsqueeze(-1))
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
        return by_states, by_weight.to(weight_VD.dtype) if wants_weight else None, by_bias, None, None, None, None


def _logits(states: Tensor, weight: Tensor, bias_V: Tensor | None, temperature: float) -> Tensor:
    """Logits over temperature, in float32 at least."""
    bias = None if bias_V is None else bias_V.to(weight.dtype)
    logits = torch.nn.functional.linear(states.to(weight.dtype), weight, bias)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits if temperature == 1.0 else logits.div_(temperature)


def _joined(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat(parts) if parts else like.new_zeros(0, dtype=torch.float32)
