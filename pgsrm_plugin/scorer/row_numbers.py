"""A scored batch as rows of numbers, and what of a row is logged beside its reward."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.reward import accuracy
from pgsrm_plugin.scorer.base import Numbers
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.types import RewardOutput, RewardSample


def row_numbers(
    output: RewardOutput, samples: Sequence[RewardSample], spec: RewardSpec, prefix: str = "reward"
) -> list[dict[str, float]]:
    """One dict of floats a row, the same keys in each: ``reward``, ``acc`` (:func:`~pgsrm_plugin.reward.accuracy`) and
    the ``PREFIX/...`` numbers of :meth:`~pgsrm_plugin.types.RewardOutput.columns`."""
    columns = output.columns(prefix) | {"acc": accuracy(output, samples, spec)}
    lists = {name: value_B.tolist() for name, value_B in columns.items()}
    return [{name: float(values[i]) for name, values in lists.items()} for i in range(len(samples))]


def logged(row: Numbers) -> dict[str, float]:
    """A row's numbers beside its reward, under the names that every integration logs: ``pgsrm/<term>``."""
    return {
        name.replace("reward/", "pgsrm/", 1) if name.startswith("reward/") else f"pgsrm/{name}": value
        for name, value in row.items()
        if name != "reward" and value is not None
    }
