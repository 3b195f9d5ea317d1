"""Sampling whose draws belong to the request, not to the batch it happens to be in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper


class SeededSampling(LogitsProcessor):  # type: ignore[misc]
    """Turns greedy decoding into sampling, each row with a generator of its own.

    Gumbel-max: the argmax of ``log p + g`` with independent Gumbel noise ``g`` is a draw from ``p``. So a request has
    the same draws whatever the other rows are, and after a restart.

    Args:
        seeds: one a row; None draws a fresh one.
        temperature: greater than 0.
        top_k: the most likely tokens that are kept; 0: all.
    """

    def __init__(
        self, seeds: Sequence[int | None], temperature: float, top_p: float, top_k: int, device: torch.device
    ) -> None:
        self._warpers = [TemperatureLogitsWarper(temperature)]
        if top_k:
            self._warpers.append(TopKLogitsWarper(top_k))
        if top_p < 1.0:
            self._warpers.append(TopPLogitsWarper(top_p))
        self._generators = [torch.Generator(device) for _ in seeds]
        for generator, seed in zip(self._generators, seeds, strict=True):
            if seed is None:
                generator.seed()
            else:
                generator.manual_seed(seed)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.Tensor:
        logits_BV: torch.Tensor = scores.float()
        for warper in self._warpers:
            logits_BV = warper(input_ids, logits_BV)
        for row, generator in enumerate(self._generators):
            noise_V = torch.empty_like(logits_BV[row]).exponential_(generator=generator)
            logits_BV[row] -= noise_V.clamp_min(torch.finfo(noise_V.dtype).tiny).log()
        return logits_BV
