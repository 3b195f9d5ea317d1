"""Linear layers on oneDNN's prepacked weights, for products of few rows: what a token costs on a CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pgsrm_plugin.encoders.hf.cpu.linear import is_supported

FEWEST = 6
"""Products with a weight from which on its copy pays; making it costs as much as about four save."""


@contextlib.contextmanager
def prepacked(network: nn.Module, rows: int, products: int) -> Iterator[None]:
    """Within, linear layers multiply by copies of their weights in the order in which oneDNN's kernels read them.

    The copies are made on entering and take as much memory as the weights. They take no gradient and see no later
    change of a weight. Nothing changes under autocast, for few products, beside a CPU, or where oneDNN has no such
    products.

    Args:
        rows: of most products.
        products: with each weight.
    """
    pays = products >= FEWEST and not torch.is_autocast_enabled("cpu")
    layers: list[Any] = [each for each in network.modules() if pays and _can_pack(each)]
    for layer in layers:
        layer.forward = _product(layer, rows)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _can_pack(module: nn.Module) -> bool:
    return type(module) is nn.Linear and module.weight.device.type == "cpu" and is_supported(module.weight.dtype)


def _product(layer: nn.Linear, rows: int) -> Callable[[Tensor], Tensor]:
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows)
    bias_O = None if layer.bias is None else layer.bias.detach()

    def forward(input: Tensor) -> Tensor:  # the name that nn.Linear gives it
        return torch.ops.mkldnn._linear_pointwise(input, weight, bias_O, "none", [], "")  # type: ignore[no-any-return]

    return forward
