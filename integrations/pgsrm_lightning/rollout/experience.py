"""What one step learns from: rollouts with their probabilities, values and advantages.

Shape suffixes: ``B`` rows, ``S`` tokens of prompt and response, ``T`` response tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from pgsrm_lightning.policy import Evaluation, Policy
from pgsrm_lightning.rollout.generate import Rollout, always


@dataclass(frozen=True)
class Experience:
    """One row a response; every tensor has the rows first.

    Attributes:
        tokens_BS, attention_BS: the model's input; the last T tokens are the response.
        mask_BT: bool, tokens that count; all False in a row that was not scored.
        logprobs_BT, ref_logprobs_BT: at rollout, under the policy and under the frozen reference.
        sampler_logprobs_BT: under what the tokens were drawn from; None where that is the policy at rollout.
        weights_BT: what the policy loss of each token counts; None: 1 (:mod:`pgsrm_lightning.rollout.mismatch`).
        entropy_BT: of the policy at rollout.
        values_BT: at rollout; zero without a value head.
        advantages_BT, returns_BT: what the algorithm made of the rewards; zero until then.
        credit_BT: what the tokens earned above or below their response's mean; None where the spec has no credit.
    """

    tokens_BS: Tensor
    attention_BS: Tensor
    mask_BT: Tensor
    logprobs_BT: Tensor
    ref_logprobs_BT: Tensor
    sampler_logprobs_BT: Tensor | None = field(default=None, kw_only=True)
    weights_BT: Tensor | None = field(default=None, kw_only=True)
    entropy_BT: Tensor
    values_BT: Tensor
    advantages_BT: Tensor
    returns_BT: Tensor
    credit_BT: Tensor | None = None

    def __len__(self) -> int:
        return self.tokens_BS.shape[0]

    def weighted(self, loss_BT: Tensor) -> Tensor:
        """A policy loss of each token, as much as it counts."""
        return loss_BT if self.weights_BT is None else self.weights_BT * loss_BT

    @property
    def width(self) -> int:
        """T, the response tokens of a row."""
        return self.mask_BT.shape[1]

    def rows(self, index: Tensor) -> Experience:
        """The rows of the given numbers."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: tensor[index] for name, tensor in tensors.items() if tensor is not None})

    def evaluated(self, now: Evaluation, has_reference: bool) -> Experience:
        """The same rows, seen as the policy sees them now: before the only update, that is how they were sampled."""
        logprobs_BT = now.logprobs_BT.detach()
        ref_BT = self.ref_logprobs_BT if has_reference else logprobs_BT
        return replace(self, logprobs_BT=logprobs_BT, ref_logprobs_BT=ref_BT, entropy_BT=now.entropy_BT.detach())

    def credited(self, values_BT: Tensor) -> Tensor:
        """Advantages or rewards, (B, T), with the tokens' credit; the very same where there is none."""
        return values_BT if self.credit_BT is None else values_BT + self.credit_BT

    def with_targets(self, advantages_BT: Tensor, returns_BT: Tensor | None = None) -> Experience:
        """The same rows with their advantages, and returns where there are values to fit."""
        returns_BT = self.returns_BT if returns_BT is None else returns_BT
        return replace(self, advantages_BT=advantages_BT, returns_BT=returns_BT)


@dataclass(frozen=True)
class Budget:
    """How many tokens a micro-batch may have, and how many each row adds to it.

    Attributes:
        tokens: the most of one micro-batch; a row that has more stands alone.
        families: the number of each row's prompt; rows of one prompt share it.
        prompts, responses: tokens of each row's prompt and response.
    """

    tokens: int
    families: list[int]
    prompts: list[int]
    responses: list[int]

    @classmethod
    def of(cls, rollout: Rollout, tokens: int) -> Budget:
        """The budget for a rollout's rows."""
        width = rollout.mask_BT.shape[1]
        prompt_BP, attended_BP = rollout.tokens_BS[:, :-width].tolist(), rollout.attention_BS[:, :-width].tolist()
        prompts = [tuple(row[seen.index(1) :]) for row, seen in zip(prompt_BP, attended_BP, strict=True)]
        numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
        families = [numbers[prompt] for prompt in prompts]
        return cls(tokens, families, [len(prompt) for prompt in prompts], rollout.mask_BT.sum(-1).tolist())

    def split(self, part: Tensor) -> list[Tensor]:
        """Rows of a prompt side by side, by length, as many as fit."""
        rows = sorted(part.tolist(), key=lambda row: (self.families[row], self.responses[row]))
        batches: list[list[int]] = []
        filled = 0
        for row in rows:
            alone = self.prompts[row] + self.responses[row]
            joins = bool(batches) and self.families[batches[-1][-1]] == self.families[row]
            added = self.responses[row] if joins else alone
            if batches and filled + added <= self.tokens:
                batches[-1].append(row)
                filled += added
            else:
                batches.append([row])
                filled = alone
        return [torch.tensor(batch) for batch in batches]


def split_rows(
    order: Tensor, minibatches: int, micro_batch_size: int | None, budget: Budget | None = None
) -> list[list[Tensor]]:
    """Rows dealt into minibatches, each into micro-batches. A minibatch without rows is an empty list."""
    parts = torch.tensor_split(order, minibatches)
    if budget is not None:
        return [budget.split(part) for part in parts]
    return [list(torch.split(part, micro_batch_size or len(part))) if len(part) else [] for part in parts]


@torch.no_grad()
def look_back(
    policy: Policy,
    rollout: Rollout,
    scored_B: Tensor,
    temperature: float,
    chunks: list[list[Tensor]],
    go_on: Callable[[], None] = always,
    *,
    under_policy: bool = True,
    under_reference: bool = True,
) -> Experience:
    """Evaluates the rollout, once under the policy and once under the reference.

    It goes in the very micro-batches in which the first epoch will go, so the first minibatch's ratio is exactly 1.

    Args:
        go_on: called before each micro-batch; raises where the work is to end.
        under_policy: False leaves log-probabilities, entropies and values 0, for :meth:`Experience.evaluated`.
        under_reference: False takes the policy's log-probabilities for the reference's.
    """
    mask_BT = rollout.mask_BT & scored_B.to(rollout.mask_BT.device).unsqueeze(-1)
    width = mask_BT.shape[1]
    logprobs_BT = torch.zeros(mask_BT.shape, device=mask_BT.device)
    ref_BT, entropy_BT, values_BT = (torch.zeros_like(logprobs_BT) for _ in range(3))
    for index in (index for minibatch in chunks for index in minibatch):
        if not (under_policy or under_reference):
            break
        go_on()
        tokens_bS, attention_bS = rollout.tokens_BS[index], rollout.attention_BS[index]
        if under_policy:
            seen = policy.evaluate(tokens_bS, attention_bS, width, temperature)
            logprobs_BT[index], entropy_BT[index] = seen.logprobs_BT, seen.entropy_BT
            if seen.values_BT is not None:
                values_BT[index] = seen.values_BT
        if under_reference:
            ref_BT[index] = policy.reference_logprobs(tokens_bS, attention_bS, width, temperature)
    ref_BT = ref_BT if under_reference else logprobs_BT
    zeros_BT = torch.zeros_like(logprobs_BT)
    inputs = (rollout.tokens_BS, rollout.attention_BS, mask_BT)
    seen_BT = (logprobs_BT, ref_BT, entropy_BT, values_BT, zeros_BT, zeros_BT)
    return Experience(*inputs, *seen_BT, sampler_logprobs_BT=rollout.sampler_logprobs_BT)
