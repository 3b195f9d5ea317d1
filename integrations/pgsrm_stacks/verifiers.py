"""verifiers and prime-rl: hooks of a task in the config, ``rewards.pgsrm = {fn = "pgsrm_stacks.verifiers.reward"}`` and
``metrics.pgsrm_terms = {fn = "pgsrm_stacks.verifiers.terms"}``."""

from __future__ import annotations

import asyncio
from typing import Any

from pgsrm_plugin.errors import UnscorableError
from pgsrm_plugin.scorer.base import Numbers
from pgsrm_plugin.scorer.row_numbers import logged
from pgsrm_stacks.process_scorer import process_scorer, row_of, stack_use

_USE = stack_use("verifiers", masks=True, drops=True)


async def reward(task: Any, trace: Any) -> float:
    """The reward of a trace's last reply; references are looked for in the task's fields.

    Raises:
        UnscorableError: the spec masks the reply. verifiers marks the trace, and prime-rl leaves it out.
        ScorerError: the scorer failed. The trace is marked and left out.
    """
    row = await _numbers(task, trace)
    if row["reward"] is None:
        raise UnscorableError("the reply cannot be scored, and the spec says unscorable: mask")
    return row["reward"]


async def terms(task: Any, trace: Any) -> dict[str, float]:
    """The ``pgsrm/...`` numbers beside the reward, as metrics: as rewards they would be added to it."""
    return logged(await _numbers(task, trace))


async def _numbers(task: Any, trace: Any) -> Numbers:
    scorer = await asyncio.to_thread(process_scorer, _USE)
    columns = task.model_dump(mode="json")
    return await scorer.score_row(row_of(columns.pop("prompt", None) or "", trace.last_reply, columns))
