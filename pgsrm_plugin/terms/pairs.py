"""Scoring (response, reference) pairs, shared by the terms that compare with references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row

Pair = tuple[str, str]


def distinct_pairs(rows: Sequence[Row]) -> list[Pair]:
    """Every (response, reference) pair once, sorted: a value must not depend on where in the batch its row stands."""
    return sorted({(row.response.text, target) for row in rows for target in row.targets})


def best_over_references(
    rows: Sequence[Row], score: Callable[[list[Pair]], Iterable[float]], low: float = 0.0
) -> list[float]:
    """The greatest score over each row's references, after guarding; ``low`` is the least that a score can be."""
    pairs = distinct_pairs(rows)
    values = dict(zip(pairs, score(pairs), strict=True))
    return [max(row.guarded([values[row.response.text, target] for target in row.targets], low)) for row in rows]


def cosines_within(groups: Sequence[Sequence[str]], encoder: Embedder) -> dict[Pair, float]:
    """The cosine of every two texts that stand in one group, both ways round; 1 of a text with itself."""
    pairs = sorted({(a, b) for texts in groups for a in texts for b in texts if a < b})
    found = dict(zip(pairs, encoder.cosine(pairs), strict=True))
    texts = {text for group in groups for text in group}
    return found | {(b, a): cos for (a, b), cos in found.items()} | {(text, text): 1.0 for text in texts}


def quantised(values: Sequence[float], step: float, bounds: tuple[float, float]) -> list[float]:
    """See :func:`pgsrm_plugin.functional.quantise`."""
    import torch

    from pgsrm_plugin.functional import quantise

    rounded = quantise(torch.tensor(values, dtype=torch.float64), step, *bounds)
    return [float(value) for value in rounded.tolist()]
