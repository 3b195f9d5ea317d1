"""EasyR1: a batch reward function, ``worker.reward.reward_function=$(python -m pgsrm_stacks.easyr1):compute_score``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pgsrm_plugin.scorer.row_numbers import logged
from pgsrm_stacks.process_scorer import process_scorer, row_of, source_of, stack_use

REWARD_NAME = "pgsrm"
REWARD_TYPE = "batch"
_USE = stack_use("EasyR1")


def compute_score(
    reward_inputs: Sequence[Mapping[str, Any]], source: str | None = None, **other: Any
) -> list[dict[str, float | None]]:
    """``overall`` and the ``pgsrm/...`` numbers of a batch; EasyR1 hands over no prompts.

    Args:
        source: a spec or an address (``worker.reward.reward_function_kwargs``); None: as the environment says.

    Raises:
        ScorerError: the scorer failed, and the run stops.
    """
    rows = [row_of("", one["response"], {"ground_truth": one["ground_truth"]}) for one in reward_inputs]
    return [
        {"overall": row["reward"], **logged(row)}
        for row in process_scorer(_USE, source_of({**other, "source": source})).score_rows(rows)
    ]


if __name__ == "__main__":
    print(__file__)
