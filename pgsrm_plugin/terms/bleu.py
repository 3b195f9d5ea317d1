"""Sentence BLEU, by sacrebleu (as in BLEUBERI's reward)."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.spec.terms import BleuSpec
from pgsrm_plugin.types import Embedder, PreparedRow


class Bleu:
    """Multi-reference sentence BLEU with exponential smoothing and effective order, over 100."""

    bounds = (0.0, 1.0)
    penalty = False

    def __init__(self, spec: BleuSpec) -> None:
        from sacrebleu.metrics.bleu import BLEU

        self._bleu = BLEU(lowercase=spec.lowercase, smooth_method="exp", effective_order=True)

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        return [min(1.0, self._bleu.sentence_score(row.response, list(row.references)).score / 100) for row in rows]
