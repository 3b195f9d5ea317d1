"""slime and miles: ``--custom-rm-path pgsrm_stacks.slime.reward --reward-key score``."""

from __future__ import annotations

import asyncio
from typing import Any

from pgsrm_plugin.scorer.row_numbers import logged
from pgsrm_plugin.serve.dialects.slime import Slime
from pgsrm_stacks.process_scorer import process_scorer, row_of


async def reward(args: Any, sample: Any, **other: Any) -> dict[str, float | None] | list[dict[str, float | None]]:
    """``score`` and the ``pgsrm/...`` numbers of a Sample; of each in a list, as ``--group-rm`` gives it.

    References are looked for in the sample's ``metadata``, then in its ``label``.

    Raises:
        ScorerError: the scorer failed, and the rollout stops.
    """
    scorer = await asyncio.to_thread(process_scorer, Slime.use)
    samples = sample if isinstance(sample, list) else [sample]
    rows = [row_of(one.prompt, one.response, {**(one.metadata or {}), "label": one.label}) for one in samples]
    numbers = await scorer.score_rows_async(rows)
    rewards = [{"score": row["reward"], **logged(row)} for row in numbers]
    return rewards if isinstance(sample, list) else rewards[0]
