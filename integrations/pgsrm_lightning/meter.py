"""Means of many numbers over rows, tokens and processes, with one collective a step."""

from __future__ import annotations

import torch
from torch import Tensor

from pgsrm_lightning.distributed import largest, total, widest


class Meter:
    """Adds up sums and counts by name; :meth:`means` divides them after adding all processes' up.

    Every process must have met the same names, in the same order.
    """

    def __init__(self, device: torch.device) -> None:
        self._sums: dict[str, Tensor] = {}
        self._maxima: dict[str, Tensor] = {}
        self.device = device
        self.dtype = widest(device)

    @property
    def names(self) -> list[str]:
        """What has been added, in order."""
        return list(self._sums)

    def add(self, name: str, amount: Tensor | float, count: Tensor | float = 1.0) -> None:
        """Adds ``amount``, which is a sum over ``count`` things."""
        entry = torch.stack([self._scalar(amount), self._scalar(count)])
        self._sums[name] = self._sums[name] + entry if name in self._sums else entry

    def add_masked(self, name: str, values: Tensor, mask: Tensor) -> None:
        """Adds the entries that count."""
        self.add(name, torch.where(mask.bool(), values.to(self.dtype), 0.0).sum(), mask.sum())

    def add_max(self, name: str, values: Tensor, mask: Tensor) -> None:
        """Keeps the largest of the entries that count, none of which is negative."""
        entry = torch.where(mask.bool(), values.detach().to(self.dtype), 0.0).flatten().to(self.device)
        before = self._maxima.get(name, entry.new_zeros(()))
        self._maxima[name] = torch.cat([before.unsqueeze(0), entry]).max()

    def means(self) -> dict[str, float]:
        """The mean of each name over all processes, and the largest of what :meth:`add_max` kept; 0 of nothing."""
        table = total(torch.stack(list(self._sums.values())))
        means = dict(zip(self._sums, (table[:, 0] / table[:, 1].clamp(min=1e-12)).tolist(), strict=True))
        if not self._maxima:
            return means
        return means | dict(zip(self._maxima, largest(torch.stack(list(self._maxima.values()))).tolist(), strict=True))

    def _scalar(self, value: Tensor | float) -> Tensor:
        value = value.detach() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
        return value.to(self.dtype).to(self.device)
