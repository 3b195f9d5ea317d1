"""Tasks of verifiers' with our hooks, as a config plugs them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from stack_cases import Case

vf = pytest.importorskip("verifiers.v1", reason="`make test-stacks` has a virtual environment with verifiers")
HOOKS = {
    "rewards": {"pgsrm": {"fn": "pgsrm_stacks.verifiers.reward", "weight": 1.0}},
    "metrics": {"pgsrm_terms": {"fn": "pgsrm_stacks.verifiers.terms"}},
}


class Asked(vf.TaskData):
    """A row with its label."""

    answer: Any = None


class Answering(vf.Task[Asked]):
    """A task with no reward of its own."""


async def score(cases: Sequence[Case], expected: str = "ScorerError") -> list[float | None]:
    """The reward that each trace records; None where its scoring failed, as verifiers marks it."""
    return [await _score(one, expected) for one in cases]


async def _score(one: Case, expected: str) -> float | None:
    from verifiers.v1.errors import TaskError
    from verifiers.v1.trace import Trace

    data = Asked(idx=0, prompt=one.prompt, answer=one.label)
    task = Answering(data, vf.TaskConfig(**HOOKS))
    trace = Trace.model_construct(task=data, root_reply=one.text, rewards={}, metrics={}, nodes=[], errors=[])
    try:
        await task.score(trace)
    except TaskError as error:
        if expected not in str(error):
            raise
        assert trace.rewards == {"pgsrm": None}
        return None
    assert trace.metrics["pgsrm/scored"] == 1.0
    score: float = trace.rewards["pgsrm"].score
    return score
