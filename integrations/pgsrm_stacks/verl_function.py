"""verl and its forks: a custom reward function, where the reward manager ``pgsrm`` cannot be had."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pgsrm_plugin.data.files import plain
from pgsrm_plugin.scorer.base import Numbers
from pgsrm_plugin.scorer.row_numbers import logged
from pgsrm_stacks.process_scorer import process_scorer, row_of, source_of, stack_use

_USE = stack_use("verl's custom reward functions", drops=True)


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    source: str | None = None,
    **other: Any,
) -> dict[str, float]:
    """``reward.custom_reward_function.path=pkg://pgsrm_stacks.verl_function``, ``name=compute_score``.

    Args:
        source: a spec or an address (``+reward.custom_reward_function.reward_kwargs.source``); None: as the environment
            says.

    Returns:
        ``score``, ``acc``, and the ``pgsrm/...`` numbers, the same keys in each row. The prompt is what ``extra_info``
        has as ``prompt`` or ``question``.

    Raises:
        ScorerError: the scorer failed; verl leaves the group out.
    """
    scorer = await asyncio.to_thread(process_scorer, _USE, source_of({**other, "source": source}))
    return _named(await scorer.score_row(_row(data_source, solution_str, ground_truth, extra_info)))


def compute_score_sync(*args: Any, **named: Any) -> dict[str, float]:
    """As :func:`compute_score`, for versions that call it in a thread and await nothing."""
    return asyncio.run(compute_score(*args, **named))


def _row(data_source: str, solution: str, ground_truth: Any, extra_info: Mapping[str, Any] | None) -> dict[str, Any]:
    extra = plain(extra_info or {})
    columns = {"data_source": data_source, "reward_model": {"ground_truth": ground_truth}, "extra_info": extra}
    return row_of(extra.get("prompt") or extra.get("question") or "", solution, columns)


def _named(row: Numbers) -> dict[str, float]:
    log = logged(row)
    assert row["reward"] is not None  # a mask was refused
    return {"score": row["reward"], "acc": log.pop("pgsrm/acc"), **log}
