"""A scored batch as the rows of numbers that verl logs beside the reward."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.reward import accuracy
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.types import RewardOutput, RewardSample


def row_numbers(output: RewardOutput, samples: Sequence[RewardSample], spec: RewardSpec) -> list[dict[str, float]]:
    """One dict of floats a row: ``reward``, ``acc`` (:func:`~pgsrm_plugin.reward.accuracy`) and the ``pgsrm/...``
    numbers, the same keys in each."""
    columns = output.columns("pgsrm") | {"acc": accuracy(output, samples, spec)}
    del columns["pgsrm/scored"]
    lists = {name: value_B.tolist() for name, value_B in columns.items()}
    return [{name: float(values[i]) for name, values in lists.items()} for i in range(len(samples))]
