"""What one step learns from: rollouts with their probabilities, values and advantages.

Shape suffixes: ``B`` rows, ``S`` tokens of prompt and response, ``T`` response tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import Rollout, always


@dataclass(frozen=True)
class Experience:
    """One row a response; every tensor has the rows first.

    Attributes:
        tokens_BS, attention_BS: the model's input; the last T tokens are the response.
        mask_BT: bool, tokens that count; all False in a row that was not scored.
        logprobs_BT, ref_logprobs_BT: at rollout, under the policy and under the frozen reference.
        entropy_BT: of the policy at rollout.
        values_BT: at rollout; zero without a value head.
        advantages_BT, returns_BT: what the algorithm made of the rewards; zero until then.
    """

    tokens_BS: Tensor
    attention_BS: Tensor
    mask_BT: Tensor
    logprobs_BT: Tensor
    ref_logprobs_BT: Tensor
    entropy_BT: Tensor
    values_BT: Tensor
    advantages_BT: Tensor
    returns_BT: Tensor

    def __len__(self) -> int:
        return self.tokens_BS.shape[0]

    @property
    def width(self) -> int:
        """T, the response tokens of a row."""
        return self.mask_BT.shape[1]

    def rows(self, index: Tensor) -> Experience:
        """The rows of the given numbers."""
        return Experience(*(getattr(self, field.name)[index] for field in fields(self)))

    def with_targets(self, advantages_BT: Tensor, returns_BT: Tensor | None = None) -> Experience:
        """The same rows with their advantages, and returns where there are values to fit."""
        returns_BT = self.returns_BT if returns_BT is None else returns_BT
        return replace(self, advantages_BT=advantages_BT, returns_BT=returns_BT)


def split_rows(order: Tensor, minibatches: int, micro_batch_size: int | None) -> list[list[Tensor]]:
    """Rows dealt into minibatches, each into micro-batches. A minibatch without rows is an empty list."""
    parts = torch.tensor_split(order, minibatches)
    return [list(torch.split(part, micro_batch_size or len(part))) if len(part) else [] for part in parts]


@torch.no_grad()
def look_back(
    policy: Policy,
    rollout: Rollout,
    scored_B: Tensor,
    temperature: float,
    chunks: list[list[Tensor]],
    go_on: Callable[[], None] = always,
) -> Experience:
    """Evaluates the rollout, once under the policy and once under the reference.

    It goes in the very micro-batches in which the first epoch will go, so the first minibatch's ratio is exactly 1.

    Args:
        go_on: called before each micro-batch; raises where the work is to end.
    """
    width = rollout.mask_BT.shape[1]
    parts: list[list[Tensor]] = []
    for index in (index for minibatch in chunks for index in minibatch):
        go_on()
        tokens_bS, attention_bS = rollout.tokens_BS[index], rollout.attention_BS[index]
        seen = policy.evaluate(tokens_bS, attention_bS, width, temperature)
        reference_bT = policy.reference_logprobs(tokens_bS, attention_bS, width, temperature)
        values_bT = torch.zeros_like(seen.logprobs_BT) if seen.values_BT is None else seen.values_BT
        parts.append([seen.logprobs_BT, reference_bT, seen.entropy_BT, values_bT])
    logprobs_BT, ref_BT, entropy_BT, values_BT = (torch.cat(column) for column in zip(*parts, strict=True))
    mask_BT = rollout.mask_BT & scored_B.to(rollout.mask_BT.device).unsqueeze(-1)
    zeros_BT = torch.zeros_like(logprobs_BT)
    inputs = (rollout.tokens_BS, rollout.attention_BS, mask_BT)
    return Experience(*inputs, logprobs_BT, ref_BT, entropy_BT, values_BT, zeros_BT, zeros_BT)
