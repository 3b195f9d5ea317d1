"""A scored batch as the rows of numbers that verl logs beside the reward."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.scorer.row_numbers import row_numbers
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.types import RewardOutput, RewardSample


def logged_rows(output: RewardOutput, samples: Sequence[RewardSample], spec: RewardSpec) -> list[dict[str, float]]:
    """One dict of floats a row: ``reward``, ``acc`` and the ``pgsrm/...`` numbers, the same keys in each."""
    rows = row_numbers(output, samples, spec, "pgsrm")
    return [{name: value for name, value in row.items() if name != "pgsrm/scored"} for row in rows]
