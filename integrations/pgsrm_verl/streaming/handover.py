"""What verl's agent loop knows of a response and does not hand over to a reward manager: the response mask."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

MASK_COLUMN = "pgsrm_response_mask"
"""The column of the last output's ``response_mask``: a text of 0 and 1, as a column of lists would have to be even."""


def handing_over(compute_score: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """verl's ``AgentLoopWorker._compute_score``, with the mask among the columns of the row that it sends."""

    @functools.wraps(compute_score)
    async def compute(self: Any, outputs: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if outputs and self.config.get("pgsrm") is not None:
            kwargs = {**kwargs, MASK_COLUMN: "".join("1" if own else "0" for own in outputs[-1].response_mask)}
        await compute_score(self, outputs, kwargs)

    return compute


def handed_mask(columns: Mapping[str, Any]) -> list[int] | None:
    """The mask of a row's last output; None where none came."""
    mask = columns.get(MASK_COLUMN)
    return None if mask is None else [int(own) for own in str(mask)]
