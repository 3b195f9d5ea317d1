"""Sums and maxima over processes. Work may be uneven: every process calls each equally often, with or without rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn


def world_size() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def widest(device: torch.device) -> torch.dtype:
    """The widest floating-point type of a device: float64, but on MPS, which has none."""
    return torch.float32 if device.type == "mps" else torch.float64


def total(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes."""
    if world_size() == 1:
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value


def largest(value: Tensor) -> Tensor:
    """The largest of a tensor, entry by entry, over all processes."""
    if world_size() == 1:
        return value
    value = value.clone()
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return value


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Adds the gradients of all processes up, in place, in one collective; a process without rows counts as zero."""
    if world_size() == 1:
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    summed, start = total(torch.cat([gradient.flatten() for gradient in gradients])), 0
    for parameter, gradient in zip(parameters, gradients, strict=True):
        gradient.copy_(summed[start : start + gradient.numel()].view_as(gradient))
        parameter.grad, start = gradient, start + gradient.numel()
