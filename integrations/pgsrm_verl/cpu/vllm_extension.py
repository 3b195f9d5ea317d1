"""vLLM's worker extension on a CPU: linear weights stay where verl's weight updates look for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import vllm.model_executor.layers.utils as layer_utils

from pgsrm_verl import compat


class Linear(Protocol):
    """What vLLM's linear layers have, by its own convention."""

    weight: torch.Tensor
    cpu_linear: Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]


def keep_weights(layer: Linear, remove_weight: bool) -> None:
    """Runs a linear layer from its own ``weight``.

    vLLM's version packs the weight into a oneDNN handle and drops the parameter
    (vllm/model_executor/layers/utils.py, ``dispatch_cpu_unquantized_gemm``); verl's reload
    (verl/workers/rollout/vllm_rollout/utils.py:405) then finds nothing to load into.
    """
    if layer.weight.ndim == 2:
        layer.cpu_linear = torch.nn.functional.linear


layer_utils.dispatch_cpu_unquantized_gemm = keep_weights


class CpuWorkerExtension(compat.vLLMColocateWorkerExtension):
    """verl's extension; importing this module is what makes the difference."""
