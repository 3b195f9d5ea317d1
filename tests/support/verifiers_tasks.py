"""Tasks of verifiers' with our hooks, as a config plugs them in."""

from __future__ import annotations

from collections.abc import Sequence

from stack_cases import Case


async def score(cases: Sequence[Case]) -> list[float | None]:
    """The reward that each trace records; None where the trace is marked as failed."""
    return []
