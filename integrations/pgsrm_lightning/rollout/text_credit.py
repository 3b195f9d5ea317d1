"""Credit for the tokens of a step's rollouts, by the segments of their texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pgsrm_lightning.meter import Meter
from pgsrm_lightning.rollout.generate import Rollout
from pgsrm_plugin import RewardSample, SemanticReward
from pgsrm_plugin.credit.alignment import token_spans
from pgsrm_plugin.credit.altered import token_credit

TEXTS, ENCODINGS, SIZE = "train/credit_texts", "train/credit_encodings", "train/credit_size"
"""What is logged: altered texts a response, texts that the encoder computed for them a response, and how far the credit
of a token that has some is from its response's mean, on average and before alpha."""


def text_credit(
    reward: SemanticReward,
    samples: Sequence[RewardSample],
    rollout: Rollout,
    scored_B: Tensor,
    tokenizer: PreTrainedTokenizerBase,
    meter: Meter,
) -> Tensor | None:
    """What each token's advantage is above its response's, (B, T); None where the spec's alpha is 0.

    Args:
        scored_B: rows that are learned from; the others have no credit, and nothing is scored for them.
    """
    credit = reward.spec.credit
    assert credit is not None
    rows = scored_B.nonzero().flatten().tolist()
    output = reward.credit([samples[row] for row in rows])
    width = rollout.mask_BT.shape[1]
    credit_BT = torch.zeros(rollout.mask_BT.shape, dtype=torch.float64)
    counted_BT = torch.zeros(rollout.mask_BT.shape, dtype=torch.bool)
    tokens_BT, mask_BT = rollout.tokens_BS[:, -width:].cpu(), rollout.mask_BT.cpu()
    for row, credited in zip(rows, output.rows, strict=True):
        if credited.credits:
            ids = tokens_BT[row, mask_BT[row]].tolist()
            spans = token_spans(ids, lambda part: tokenizer.decode(part, skip_special_tokens=True))
            above, counted = token_credit(credit, credited, spans)
            credit_BT[row, : len(ids)] = torch.tensor(above, dtype=torch.float64)
            counted_BT[row, : len(ids)] = torch.tensor(counted)
    meter.add(TEXTS, float(output.texts), len(rows))
    meter.add(ENCODINGS, output.stats.get("encoder/texts_computed", 0.0), len(rows))
    meter.add_masked(SIZE, credit_BT.abs(), counted_BT)
    return (credit.alpha * credit_BT).float().to(rollout.mask_BT.device) if credit.alpha else None
