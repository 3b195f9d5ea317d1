"""OpenRLHF: the reward in its own process, ``--reward.remote_url $(python -m pgsrm_stacks.openrlhf)``.

OpenRLHF loads the file in every vLLM actor, each with an encoder of its own; ``--reward.remote_url
http://host:8900/get_reward`` needs no file and shares one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pgsrm_plugin.serve.dialects.openrlhf import OpenRlhf
from pgsrm_stacks.process_scorer import process_scorer


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **other: Any) -> dict[str, Any]:
    """``rewards``, ``scores`` and ``extra_logs`` of prompts with their responses.

    Raises:
        ScorerError: the scorer failed. OpenRLHF then has no reward for the sample, and stops at the end of the rollout.
    """
    dialect = OpenRlhf()
    scorer = process_scorer(dialect.use)
    rows = dialect.rows({"query": list(queries), "prompts": list(prompts), "labels": list(labels)})
    answer: dict[str, Any] = dialect.answer(scorer.score_rows(rows, dialect.label), {})
    return answer


if __name__ == "__main__":
    print(__file__)
