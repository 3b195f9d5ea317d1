"""Credit for the tokens of a step's rollouts by language models: two, of which one may learn (DPR, PRIME), or one whose
logits are soft values (EndoRM).

They compute in float32, whatever the trainer's precision: what a model learns is less than bfloat16's rounding.

Shape suffixes: ``B`` rows, ``T`` response tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pgsrm_lightning.distributed import largest, total
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import Rollout
from pgsrm_lightning.rollout.text_credit import SIZE
from pgsrm_lightning.update import take_step
from pgsrm_plugin import RewardOutput, RewardSpec
from pgsrm_plugin.credit import Credit, RatioCredit, SoftValueCredit
from pgsrm_plugin.errors import SpecError

LOSS, NORM = "train/prm_loss", "train/prm_grad_norm"
"""What is logged of a model that learns: cross entropy (nats a response) before it does, and its gradient's norm."""


def centred_rows(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The values less their row's mean over the tokens that count; 0 for the others.

    >>> centred_rows(torch.tensor([[0.7, -0.5, 9.0]]), torch.tensor([[True, True, False]]))
    tensor([[ 0.6000, -0.6000,  0.0000]])
    """
    mean_B1 = torch.where(mask_BT, values_BT, 0.0).sum(-1, keepdim=True) / mask_BT.sum(-1, keepdim=True).clamp(min=1)
    return torch.where(mask_BT, values_BT - mean_B1, 0.0)


def endogenous_rewards(
    chosen_BT: Tensor, soft_BT: Tensor, mask_BT: Tensor, ending: float | None = None
) -> tuple[Tensor, Tensor]:
    r""":math:`Q(s_t, y_t) - V(s_{t+1})`, (B, T), and which tokens have it: all that count but each row's last.

    Args:
        chosen_BT, soft_BT: :math:`Q(s_t, y_t)` and :math:`V(s_t)`.
        mask_BT: tokens that count; side by side in each row.
        ending: V of the state after a row's last token, which then has a reward, too (the paper's is 0).

    >>> chosen, soft = torch.tensor([[2.0, 1.0]]), torch.tensor([[2.1698, 1.8620]])
    >>> endogenous_rewards(chosen, soft, torch.ones(1, 2, dtype=torch.bool))
    (tensor([[0.1380, 0.0000]]), tensor([[ True, False]]))
    """
    after_BT = torch.nn.functional.pad(mask_BT[:, 1:], (0, 1)) & mask_BT
    next_BT = torch.where(after_BT, torch.nn.functional.pad(soft_BT[:, 1:], (0, 1)), 0.0 if ending is None else ending)
    counted_BT = after_BT if ending is None else mask_BT
    return torch.where(counted_BT, chosen_BT - next_BT, 0.0), counted_BT


def greatest_return(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    r""":math:`\max_{i,t} |\sum_{s \ge t} q_{i,s}|`, a scalar; what PRIME's code divides by.

    >>> greatest_return(torch.tensor([[0.7, -0.5, 1.0]]), torch.ones(1, 3, dtype=torch.bool))
    tensor(1.2000)
    """
    return (
        torch.where(mask_BT, values_BT, 0.0).flip(-1).cumsum(-1).abs().amax() if values_BT.numel() else values_BT.sum()
    )


def success_loss(values_BT: Tensor, mask_BT: Tensor, success_B: Tensor, beta: float) -> Tensor:
    r"""The cross entropy of :math:`\sigma(\beta \sum_t q_t)` with the response's success in [0, 1], (B,).

    >>> success_loss(torch.tensor([[0.7, -0.5, 1.0]]), torch.ones(1, 3, dtype=torch.bool), torch.ones(1), 0.05)
    tensor([0.6636])
    """
    logit_B = beta * torch.where(mask_BT, values_BT, 0.0).sum(-1)
    return nn.functional.binary_cross_entropy_with_logits(logit_B, success_B.to(logit_B), reduction="none")


class _Seen(NamedTuple):
    """What a step has shown, of which the model learns when the step is done."""

    rollout: Rollout
    mask_BT: Tensor
    base_BT: Tensor
    success_B: Tensor
    parts: Sequence[Tensor]


class _OptimizerState(nn.Module):
    """The optimizer of a model that learns, for checkpoints.

    A checkpoint is read before the model is on its device, where the optimizer's moments belong, so they are taken up
    when they are first asked for.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self._optimizer = optimizer
        self._read: dict[str, Any] | None = None

    def optimizer(self) -> torch.optim.Optimizer:
        """With the state of the checkpoint, if one was read."""
        if self._read is not None:
            self._optimizer.load_state_dict(self._read)
            self._read = None
        return self._optimizer

    def get_extra_state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return self._optimizer.state_dict() if self._read is None else self._read

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self._read = state


class TokenModels(nn.Module):
    """The two models. One that learns goes into checkpoints with its optimizer; frozen ones do not.

    Args:
        child, revision: the policy's, taken where the credit names no model.

    Raises:
        SpecError: a model cannot be loaded, or does not read the policy's tokens.
    """

    def __init__(self, spec: RewardSpec, credit: RatioCredit, child: str, revision: str | None, policy: Policy) -> None:
        super().__init__()
        self._spec, self._credit = spec, credit
        model = _loaded("model", credit.model, child, revision, policy, learns=credit.learning is not None)
        # A list, no submodule: what is frozen stays out of checkpoints and of the parameters that processes compare.
        self._frozen = [_loaded("base", credit.base, child, revision, policy)]
        self._seen: _Seen | None = None
        if credit.learning is None:
            self._frozen.append(model)
        else:
            self.learner = model
            optimizer = torch.optim.AdamW(model.lm.parameters(), lr=credit.learning.lr, weight_decay=0.0)
            self.optimizer_state = _OptimizerState(optimizer)

    def forward(
        self, rollout: Rollout, output: RewardOutput, scored_B: Tensor, parts: Sequence[Tensor], meter: Meter
    ) -> Tensor | None:
        """What each token's advantage is above its response's, (B, T); None where alpha is 0.

        Args:
            scored_B: rows that are learned from.
            parts: the rows that go through a model at once.
        """
        mask_BT = rollout.mask_BT & scored_B.to(rollout.mask_BT.device).unsqueeze(-1)
        base_BT = _logprobs(self._frozen[0], rollout, parts)
        model = self._frozen[1] if self._credit.learning is None else self.learner
        ratio_BT = torch.where(mask_BT, _logprobs(model, rollout, parts) - base_BT, 0.0)
        if self._credit.learning is not None:
            success_B = _successes(self._spec, output, self._credit.learning.success)
            self._seen = _Seen(rollout, mask_BT, base_BT, success_B, parts)
        if self._credit.normalised:
            ratio_BT = ratio_BT / largest(greatest_return(ratio_BT, mask_BT)).clamp(min=1e-8)
        return _above_mean(self._credit, ratio_BT, mask_BT, meter)

    def learn(self, meter: Meter, before: Callable[[], None] = lambda: None) -> None:
        """The model learns from the step that is done, if it learns.

        Args:
            before: called when everything is computed and the model is about to change.
        """
        if self._seen is None or self._credit.learning is None:
            return
        seen, learning, optimizer = self._seen, self._credit.learning, self.optimizer_state.optimizer()
        self._seen = None
        tokens_BS, attention_BS, mask_BT = seen.rollout.tokens_BS, seen.rollout.attention_BS, seen.mask_BT
        scored_B = mask_BT.any(-1)
        rows = total(scored_B.sum().float())
        meter.add(LOSS, 0.0, 0.0)
        meter.add(NORM, 0.0, 0.0)
        if not bool(rows):  # on every process alike
            return
        optimizer.zero_grad(set_to_none=True)
        with torch.enable_grad(), torch.autocast(tokens_BS.device.type, enabled=False):
            for part in seen.parts:
                now = self.learner.evaluate(tokens_BS[part], attention_BS[part], mask_BT.shape[1], 1.0)
                ratio_bT = now.logprobs_BT - seen.base_BT[part]
                success_b = seen.success_B[part].to(ratio_bT)
                loss_b = success_loss(ratio_bT, mask_BT[part], success_b, learning.beta)
                loss_b = torch.where(scored_B[part], loss_b, 0.0)
                torch.autograd.backward(loss_b.sum() / rows)
                meter.add(LOSS, loss_b.sum(), scored_B[part].sum())
        before()
        norm = take_step(optimizer, learning.grad_norm)
        if norm is not None:
            meter.add(NORM, norm)


class SoftValues(nn.Module):
    """The frozen model of a credit by soft values; it goes into no checkpoint.

    Args:
        child, revision: the policy's, taken where the credit names no model.

    Raises:
        SpecError: as :class:`TokenModels`.
    """

    def __init__(self, credit: SoftValueCredit, child: str, revision: str | None, policy: Policy) -> None:
        super().__init__()
        self._credit = credit
        self._frozen = [_loaded("model", credit.model, child, revision, policy)]  # a list, as in TokenModels

    @torch.no_grad()
    def forward(
        self, rollout: Rollout, output: RewardOutput, scored_B: Tensor, parts: Sequence[Tensor], meter: Meter
    ) -> Tensor | None:
        """See :meth:`TokenModels.forward`."""
        device = rollout.tokens_BS.device
        mask_BT, model = rollout.mask_BT & scored_B.to(device).unsqueeze(-1), self._frozen[0].to(device)
        chosen_BT, soft_BT = (torch.zeros(mask_BT.shape, device=device) for _ in range(2))
        with torch.autocast(device.type, enabled=False):
            for part in parts:
                inputs = rollout.tokens_BS[part], rollout.attention_BS[part], mask_BT.shape[1]
                chosen_BT[part], soft_BT[part] = model.soft_values(*inputs, self._credit.temperature)
        return _above_mean(self._credit, *endogenous_rewards(chosen_BT, soft_BT, mask_BT), meter)

    def learn(self, meter: Meter, before: Callable[[], None] = lambda: None) -> None:
        """Nothing is learned."""


def token_models(spec: RewardSpec, child: str, revision: str | None, policy: Policy) -> TokenModels | SoftValues | None:
    """The models that a spec's credit asks, if it asks any."""
    credit = spec.credit
    if isinstance(credit, RatioCredit):
        return TokenModels(spec, credit, child, revision, policy)
    return SoftValues(credit, child, revision, policy) if isinstance(credit, SoftValueCredit) else None


def _above_mean(credit: Credit, values_BT: Tensor, counted_BT: Tensor, meter: Meter) -> Tensor | None:
    """What each token's advantage is above its response's, (B, T); None where alpha is 0."""
    if credit.scale == "density":
        values_BT = values_BT * counted_BT.sum(-1, keepdim=True)
    above_BT = centred_rows(values_BT, counted_BT)
    meter.add_masked(SIZE, above_BT.abs(), counted_BT)
    return credit.alpha * above_BT if credit.alpha else None


def _successes(spec: RewardSpec, output: RewardOutput, least: float | None) -> Tensor:
    """Each response's success, (B,), in [0, 1]."""
    if least is not None:
        return (output.rewards >= least).double()
    assert spec.reach is not None
    low, high = spec.reach
    return ((output.rewards - low) / max(high - low, 1e-12)).clamp(0.0, 1.0)


@torch.no_grad()
def _logprobs(model: Policy, rollout: Rollout, parts: Sequence[Tensor]) -> Tensor:
    """Log-probabilities of the response tokens at temperature 1, (B, T)."""
    model.to(rollout.tokens_BS.device)
    width = rollout.mask_BT.shape[1]
    logprobs_BT = torch.zeros(rollout.mask_BT.shape, device=rollout.mask_BT.device)
    with torch.autocast(rollout.tokens_BS.device.type, enabled=False):
        for part in parts:
            found = model.evaluate(rollout.tokens_BS[part], rollout.attention_BS[part], width, 1.0)
            logprobs_BT[part] = found.logprobs_BT
    return logprobs_BT


def _loaded(key: str, named: str, child: str, revision: str | None, policy: Policy, learns: bool = False) -> Policy:
    try:
        model = Policy(named or child, None if named else revision, value_head=False, reference=False)
    except SpecError as error:
        raise SpecError(f"credit.{key}: {error}") from error
    if model.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise SpecError(
            f"credit.{key}: {named} has another vocabulary than the child, whose tokens it is to read; take a model of "
            "the child's family"
        )
    model.lm.requires_grad_(learns)
    return model
