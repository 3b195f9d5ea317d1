"""Epochs of minibatches over one step's experience."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from pgsrm_lightning.algorithms import Algorithm
from pgsrm_lightning.distributed import sum_gradients, total
from pgsrm_lightning.losses import masked_sum
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.experience import Experience, split_rows
from pgsrm_plugin.errors import PgsrmError


class Updater:
    """Takes the optimizer steps of a training step.

    A minibatch's loss is the sum over its tokens divided by their number over all micro-batches *and* processes;
    gradients are then added up. So accumulation, and any split of the rows over processes, give the gradient of the
    whole minibatch.

    Args:
        backward: called with each micro-batch's loss.
    """

    def __init__(
        self, policy: Policy, algorithm: Algorithm[Any], optimizer: Optimizer, backward: Callable[[Tensor], None]
    ) -> None:
        self._policy, self._algorithm, self._optimizer, self._backward = policy, algorithm, optimizer, backward
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def run(self, experience: Experience, temperature: float, kl_coef: float, seed: int, meter: Meter) -> None:
        """All epochs. The first goes through the rows in order, the later ones shuffled by ``seed``."""
        config = self._algorithm.config
        for name in ("train/grad_norm", *self._algorithm.logged):
            meter.add(name, 0.0, 0.0)  # a process without rows must know the same names
        generator = torch.Generator().manual_seed(seed)
        for epoch in range(config.epochs):
            rows = len(experience)
            order = torch.randperm(rows, generator=generator) if epoch else torch.arange(rows)
            for minibatch in split_rows(order, config.minibatches, config.micro_batch_size):
                self._minibatch([experience.rows(index) for index in minibatch], temperature, kl_coef, meter)

    def _minibatch(self, parts: list[Experience], temperature: float, kl_coef: float, meter: Meter) -> None:
        device = self._parameters[0].device
        tokens = sum((part.mask_BT.sum() for part in parts), torch.zeros((), device=device))
        tokens = total(tokens.float())
        if not bool(tokens):  # on every process alike
            return
        self._optimizer.zero_grad(set_to_none=True)
        for part in parts:
            now = self._policy.evaluate(part.tokens_BS, part.attention_BS, part.width, temperature)
            loss_BT = self._algorithm.loss(now, part, kl_coef, meter)
            self._backward(masked_sum(loss_BT, part.mask_BT) / tokens)
        sum_gradients(self._parameters)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._algorithm.config.grad_norm)
        if not bool(norm.isfinite()):
            raise PgsrmError("the gradient is not finite: lower the learning rate, or train in 32-bit precision")
        meter.add("train/grad_norm", norm)
        self._optimizer.step()
