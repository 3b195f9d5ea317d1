"""BERTScore (arXiv 1904.09675) with the reward's own encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgsrm_plugin.spec.terms import BertScoreSpec
from pgsrm_plugin.terms.pairs import Pair, best_over_references, quantised
from pgsrm_plugin.types import Embedder, PreparedRow


class BertScore:
    r"""Greedy matching of unit token states :math:`x_i` (response) and :math:`y_j` (reference): the :math:`F_1` score.

    Recall is :math:`\frac{1}{|y|}\sum_j \max_i x_i \cdot y_j`, precision the same with roles exchanged. Unrelated
    text scores well above 0, so give that value as ``baseline`` :math:`b`: the score becomes
    :math:`\max(0, (F_1 - b)/(1 - b))`. No idf weighting; the best over the references, rounded to ``quantise``.
    """

    bounds = (0.0, 1.0)
    penalty = False

    def __init__(self, spec: BertScoreSpec) -> None:
        self._baseline = spec.baseline
        self._grid = spec.quantise

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        values = best_over_references(rows, lambda pairs: self._score(pairs, embedder))
        return values if self._grid is None else quantised(values, self._grid, self.bounds)

    def _score(self, pairs: Sequence[Pair], embedder: Embedder) -> Iterator[float]:
        texts = sorted({text for pair in pairs for text in pair})
        states = dict(zip(texts, embedder.token_states(texts), strict=True))
        for response, reference in pairs:
            similarity_RT = states[reference] @ states[response].T
            if similarity_RT.numel() == 0:
                yield 0.0
                continue
            recall = float(similarity_RT.max(dim=1).values.mean())
            precision = float(similarity_RT.max(dim=0).values.mean())
            f1 = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
            yield min(1.0, max(0.0, (f1 - self._baseline) / (1.0 - self._baseline)))
