"""One system under comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from pgsrm_lab.bench.systems.baseline import PaddingMeter
from pgsrm_lab.bench.workload import Pairs

Progress = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True)
class System:
    """One way to score pairs.

    Attributes:
        name: its key in the result.
        dtype: of its weights.
        cosines: scores pairs, from texts to (B,) cosines on the CPU, keeping nothing between calls.
        device: where it computes.
        rows: the rows of the workload that it scores; None for all.
        padding: counts its padding; None where it is not known.
        measures_memory: whether it works in this process.
    """

    name: str
    dtype: str
    cosines: Callable[[Pairs], torch.Tensor]
    device: str = "cpu"
    rows: tuple[int, ...] | None = None
    padding: PaddingMeter | None = None
    measures_memory: bool = True
