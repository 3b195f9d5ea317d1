"""Epochs of minibatches over one step's experience."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from pgsrm_lightning.algorithms import Algorithm
from pgsrm_lightning.config import ImportanceSamplingConfig
from pgsrm_lightning.distributed import sum_gradients, total
from pgsrm_lightning.losses import masked_sum
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.experience import Budget, Experience, split_rows
from pgsrm_lightning.rollout.generate import always
from pgsrm_lightning.rollout.mismatch import corrected
from pgsrm_lightning.rollout.scoring import measure_policy
from pgsrm_plugin.errors import PgsrmError

SKIPPED = "train/skipped_updates"
"""The share of optimizer steps that a scaler skipped; logged under a scaler only."""


def take_step(optimizer: Optimizer, max_norm: float, scaler: GradScaler | None = None) -> Tensor | None:
    """Adds the gradients of all processes up, scales them down to ``max_norm`` and steps.

    The sum comes before the scaler looks at it: so what overflowed on one process is seen on all, and their scales
    stay the same.

    Args:
        scaler: what the losses were multiplied by (fp16); its scale is taken out before the norm is, and adapted after.

    Returns:
        The norm before it was scaled down; None where a scaler found a gradient that is not finite: no step was taken.

    Raises:
        PgsrmError: a gradient is not finite and there is no scaler, or its scale has fallen below 1 already.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    sum_gradients(parameters)
    if scaler is None:
        norm = nn.utils.clip_grad_norm_(parameters, max_norm)
        if not bool(norm.isfinite()):
            raise PgsrmError("the gradient is not finite: lower the learning rate, or train in 32-bit precision")
        optimizer.step()
        return norm
    scaler.scale(torch.zeros((), device=parameters[0].device))  # makes the scale, also where this process had no rows
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(parameters, max_norm)
    scaler.step(optimizer)  # takes none where unscale_ found what is not finite
    scaler.update()
    if bool(norm.isfinite()):
        return norm
    if scaler.get_scale() < 1.0:
        raise PgsrmError(
            "the gradient is not finite in float16, however small the loss is scaled: lower the learning rate, or "
            "train with trainer.precision bf16-mixed or 32-true"
        )
    return None


class Updater:
    """Takes the optimizer steps of a training step.

    A minibatch's loss is the sum over its tokens divided by their number over all micro-batches *and* processes;
    gradients are then added up. So accumulation, and any split of the rows over processes, give the gradient of the
    whole minibatch.

    Args:
        backward: called with each micro-batch's loss, which it multiplies by the scale of ``scaler``.
        scaler: of the trainer's fp16 precision; None without one.
        go_on: called before each micro-batch; raises where the work is to end.
        budget: of a micro-batch's tokens, in place of a number of rows.
        looks_back: the experience has not been evaluated; its only update does so, and measures it.
        has_reference: whether the experience has log-probabilities under a reference.
        importance_sampling: what corrects for the sampler, where the update looks back.
    """

    def __init__(
        self,
        policy: Policy,
        algorithm: Algorithm[Any],
        optimizer: Optimizer,
        backward: Callable[[Tensor], None],
        scaler: GradScaler | None = None,
        go_on: Callable[[], None] = always,
        *,
        budget: Budget | None = None,
        looks_back: bool = False,
        has_reference: bool = True,
        importance_sampling: ImportanceSamplingConfig | None = None,
    ) -> None:
        self._budget, self._looks_back, self._has_reference = budget, looks_back, has_reference
        self._importance_sampling = importance_sampling
        self.before_first_step: Callable[[], None] = always
        self._policy, self._algorithm, self._optimizer, self._backward = policy, algorithm, optimizer, backward
        self._go_on = go_on
        self._scaler = scaler if scaler is not None and scaler.is_enabled() else None

    def run(self, experience: Experience, temperature: float, kl_coef: float, seed: int, meter: Meter) -> None:
        """All epochs. The first goes through the rows in order, the later ones shuffled by ``seed``."""
        config = self._algorithm.config
        for name in ("train/grad_norm", *self._algorithm.logged, *((SKIPPED,) if self._scaler else ())):
            meter.add(name, 0.0, 0.0)  # a process without rows must know the same names
        if self._looks_back:
            nothing = experience.rows(torch.zeros(0, dtype=torch.long))
            measure_policy(nothing, meter, self._has_reference)
            corrected(nothing, self._importance_sampling, meter)
        generator = torch.Generator().manual_seed(seed)
        for epoch in range(config.epochs):
            rows = len(experience)
            order = torch.randperm(rows, generator=generator) if epoch else torch.arange(rows)
            for minibatch in split_rows(order, config.minibatches, config.micro_batch_size, self._budget):
                self._minibatch([experience.rows(index) for index in minibatch], temperature, kl_coef, meter)

    def _minibatch(self, parts: list[Experience], temperature: float, kl_coef: float, meter: Meter) -> None:
        device = next(self._policy.parameters()).device
        tokens = sum((part.mask_BT.sum() for part in parts), torch.zeros((), device=device))
        tokens = total(tokens.float())
        if not bool(tokens):  # on every process alike
            return
        self._optimizer.zero_grad(set_to_none=True)
        for part in parts:
            self._go_on()
            now = self._policy.evaluate(part.tokens_BS, part.attention_BS, part.width, temperature)
            if self._looks_back:
                part = part.evaluated(now, self._has_reference)
                measure_policy(part, meter, self._has_reference)
                part = corrected(part, self._importance_sampling, meter)
            loss_BT = self._algorithm.loss(now, part, kl_coef, meter)
            self._backward(masked_sum(loss_BT, part.mask_BT) / tokens)
        self.before_first_step()
        self.before_first_step = always
        norm = take_step(self._optimizer, self._algorithm.config.grad_norm, self._scaler)
        if norm is not None:
            meter.add("train/grad_norm", norm)
        if self._scaler is not None:
            meter.add(SKIPPED, float(norm is None))
