"""What samples: an engine is given prompts and returns the tokens that it drew.

Shape suffixes: ``B`` rows, ``P`` prompt tokens (left-padded), ``T`` response tokens (right-padded).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.policy import Policy


@dataclass(frozen=True)
class Drawn:
    """Responses as an engine drew them. What ended one is in its tokens: an end-of-text token, or their number.

    Attributes:
        tokens_BT: up to and including the first end-of-text token, then anything.
        logprobs_BT: float32, of each of these tokens under the distribution that it was drawn from, after temperature
            and limits; 0 past a response's end. None where the engine computes with the policy itself.
    """

    tokens_BT: Tensor
    logprobs_BT: Tensor | None = None


class Engine(Protocol):
    """Draws responses from the policy as it is at the time of the call."""

    def draw(
        self,
        policy: Policy,
        prompts: Sequence[tuple[int, ...]],
        sampling: SamplingConfig,
        device: torch.device,
        seed: int | None,
        go_on: Callable[[], None],
    ) -> Drawn:
        """One response to each prompt, at most ``max_new_tokens`` long; greedy where ``seed`` is None.

        The random numbers depend on ``seed`` alone, and the process's own generators are left as they were.

        Args:
            prompts: token ids; prompts that are equal are one to the engine.
            go_on: called at each token; raises where the work is to end.
        """


def keyed_seed(*key: int) -> int:
    """A seed that is a pure function of the key (run seed, step, rank ...), well mixed, in [0, 2^63)."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def left_padded(rows: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens and attention mask, (B, P)."""
    width = max(len(row) for row in rows)
    tokens_BP = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows], device=device)
    attention_BP = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return tokens_BP, attention_BP
