"""An encoder of this project behind its cache, as a reward calls it."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pgsrm_lab.bench.workload import Pairs
from pgsrm_plugin import functional
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.types import Encoder

CACHE_MB = 4096.0
"""Room for every embedding of the workload."""


def with_empty_cache(encoder: Encoder) -> Callable[[Pairs], torch.Tensor]:
    """Scores with an encoder and an empty cache: each distinct text of either side is embedded once."""
    return lambda pairs: cosines_of(CachedEncoder(encoder, CACHE_MB), pairs)


def cosines_of(cached: CachedEncoder, pairs: Pairs) -> torch.Tensor:
    """(B,) float64 cosines, as :class:`~pgsrm_plugin.reward.SemanticReward` computes them."""
    found, _ = cached.embed((*pairs.responses, *pairs.references))
    left_BD, right_BD = (
        torch.stack([found[text].vector_D for text in side]) for side in (pairs.responses, pairs.references)
    )
    return functional.cosine(left_BD, right_BD)
