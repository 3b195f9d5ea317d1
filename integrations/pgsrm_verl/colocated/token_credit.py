"""Credit for the tokens of a step's responses, by the segments of their texts."""

from __future__ import annotations

import time
from typing import Any

import torch

from pgsrm_plugin import SemanticReward
from pgsrm_plugin.credit.alignment import response_spans
from pgsrm_plugin.credit.altered import token_credit
from pgsrm_plugin.data.completions import Turns
from pgsrm_verl.colocated.rollouts import Rollouts

TOKEN_REWARDS = ("gae",)
"""verl's estimators that take the rewards of single tokens; the others take their sum."""
SECONDS = "pgsrm/credit_seconds"
"""What the credit took of a step."""


def step_credit(
    reward: SemanticReward, rollouts: Rollouts, scored_B: torch.Tensor, tokenizer: Any, turns: Turns
) -> tuple[list[torch.Tensor], dict[str, float]]:
    """What each token's advantage is above its response's, alpha included, and verl's metrics of that.

    Rows that were not scored, and outputs of a session but for its last, have no credit.
    """
    started, credit = time.perf_counter(), reward.spec.credit
    assert credit is not None
    rows = [row for row, last in enumerate(rollouts.last) if row == last and bool(scored_B[row])]
    output = reward.credit([rollouts.samples[row] for row in rows])
    above = [torch.zeros(length) for length in rollouts.lengths]
    sizes: list[float] = []
    for row, credited in zip(rows, output.rows, strict=True):
        if credited.credits:
            spans = response_spans(
                rollouts.ids[row], rollouts.own[row], turns, lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
            )
            values, counted = token_credit(credit, credited, spans)
            above[row] = (credit.alpha * torch.tensor(values, dtype=torch.float64)).float()
            sizes += [abs(value) for value, counts in zip(values, counted, strict=True) if counts]
    responses = max(len(rows), 1)
    return above, {
        "pgsrm/credit_texts": output.texts / responses,
        "pgsrm/credit_encodings": output.stats.get("encoder/texts_computed", 0.0) / responses,
        "pgsrm/credit_size": sum(sizes) / max(len(sizes), 1),
        SECONDS: time.perf_counter() - started,
    }
