"""The rate at which this machine multiplies the model's matrices: what an encoder could reach that did nothing else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_REPEAT_S = 0.1
"""The pass is repeated for about so long, three times over, and the fastest third counts."""


@dataclass(frozen=True)
class Work:
    """The floating-point operations that a forward pass cannot avoid.

    Attributes:
        matrices: how many weight matrices there are of each (inputs, outputs), embeddings and pooler left out.
        layers, width: of the attention, ``width`` being heads times their dimension.
    """

    matrices: Counter[tuple[int, int]]
    layers: int
    width: int

    @property
    def parameters(self) -> int:
        """Weights that every token meets."""
        return sum(inputs * outputs * count for (inputs, outputs), count in self.matrices.items())

    def flops(self, lengths: Sequence[int]) -> float:
        r"""For texts of these tokens: :math:`\sum_i 2 P t_i + 4 L W t_i^2`, the second part being :math:`QK^\top` and
        :math:`AV`. Full attention; a model with local or causal attention can do with less."""
        return float(sum(2 * self.parameters * length + 4 * self.layers * self.width * length**2 for length in lengths))


def work_of(transformer: nn.Module) -> Work:
    """The work of a sentence-transformers model's first module.

    Raises:
        ValueError: it has no ``nn.Linear``, so nothing is known of it.
    """
    matrices = Counter(
        (module.in_features, module.out_features)
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear) and "pooler" not in name and "lm_head" not in name
    )
    if not matrices:
        raise ValueError("the model has no linear layers")
    config: Any = getattr(transformer, "auto_model", transformer).config
    if hasattr(config, "get_text_config"):
        config = config.get_text_config()
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Work(matrices, config.num_hidden_layers, config.num_attention_heads * head)


class Gemm:
    """A forward pass of nothing but ``torch.mm``: every matrix of the model once, each with weights of its own.

    Args:
        work: whose matrices.
        dtype, device: of both factors.
        tokens: the numbers of rows to choose from; the fastest a FLOP is kept.
    """

    def __init__(self, work: Work, dtype: torch.dtype, device: torch.device, tokens: Sequence[int]) -> None:
        self._device = device
        self._weights_OI = [
            torch.randn(outputs, inputs, device=device).to(dtype)
            for (inputs, outputs), count in work.matrices.items()
            for _ in range(count)
        ]
        self._inputs = {
            inputs: torch.randn(max(tokens), inputs, device=device).to(dtype) for inputs, _ in work.matrices
        }
        self._flops_per_token = 2.0 * work.parameters
        self.tokens = max(tokens, key=self._rate)

    def rate(self) -> float:
        """FLOP/s, measured now."""
        return self._rate(self.tokens)

    @torch.no_grad()
    def _rate(self, tokens: int) -> float:
        once = self._seconds(tokens, 1)
        repeats = max(1, round(_REPEAT_S / once))
        best = min(self._seconds(tokens, repeats) for _ in range(3))
        return self._flops_per_token * tokens * repeats / best

    def _seconds(self, tokens: int, repeats: int) -> float:
        inputs = {size: left_TI[:tokens] for size, left_TI in self._inputs.items()}
        synchronise(self._device)
        started = time.perf_counter()
        for _ in range(repeats):
            for weight_OI in self._weights_OI:
                torch.mm(inputs[weight_OI.shape[1]], weight_OI.t())
        synchronise(self._device)
        return time.perf_counter() - started


def token_counts(device: torch.device) -> tuple[int, ...]:
    """Numbers of rows that a batch can sensibly have."""
    return (512, 1024, 2048, 4096, 8192) if device.type == "cpu" else (4096, 8192, 16384, 32768, 65536)


def synchronise(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
