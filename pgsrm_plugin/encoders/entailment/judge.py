"""A frozen NLI cross-encoder of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from pgsrm_plugin.encoders.entailment import CrossEncoderSpec
from pgsrm_plugin.encoders.entailment.labels import entailed_index
from pgsrm_plugin.encoders.hf.pair_classifier import PairClassifier
from pgsrm_plugin.types import Question, Reply


class HfCrossEncoder(PairClassifier):
    """Says of (premise, hypothesis) how likely the one follows from the other, in log odds.

    How it runs, and what it raises: :class:`~pgsrm_plugin.encoders.hf.pair_classifier.PairClassifier`; and a SpecError
    where the labels are unknown.
    """

    called: ClassVar = "cross-encoder"
    untrained: ClassVar = (
        "so it is an encoder; take a cross-encoder trained on NLI, or train one: scripts/train_cross_encoder.py"
    )

    def __init__(self, spec: CrossEncoderSpec) -> None:
        self._given = spec.labels
        super().__init__(spec)
        self.identity += f";label={self._entailed}"

    def judge(self, questions: Sequence[Question]) -> list[Reply]:
        """The log odds that the hypothesis follows from the premise, and whether the pair was cut, in order.

        Raises:
            ScorerError: the device is out of memory.
        """
        logits_NL, cut = self.logits(questions)
        odds_N = _log_odds(logits_NL, self._entailed)
        return [Reply((float(odds),), one) for odds, one in zip(odds_N.tolist(), cut, strict=True)]

    def _check_labels(self) -> None:
        self._entailed = entailed_index(self._spec.model, self.labels, self._given)


def _log_odds(logits_NL: torch.Tensor, entailed: int) -> torch.Tensor:
    """The log odds (N,) of one label against all others: its logit less the others' log-sum-exp."""
    others = [label for label in range(logits_NL.shape[1]) if label != entailed]
    return logits_NL[:, entailed] - torch.logsumexp(logits_NL[:, others], dim=1)
