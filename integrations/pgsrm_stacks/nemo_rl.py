"""NeMo-RL: an environment of one turn, ``env: {pgsrm: {source: pgsrm}}``, once :func:`register` was called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ray
import torch
from nemo_rl.environments.interfaces import EnvironmentInterface, EnvironmentReturn

from pgsrm_plugin.scorer.row_numbers import logged
from pgsrm_stacks.process_scorer import means, process_scorer, row_of, source_of, stack_use

_USE = stack_use("NeMo-RL")


class SemanticEnvironment(EnvironmentInterface):  # type: ignore[misc]
    """One answer, one reward; what to compare with is looked for in ``extra_env_info``. ``cfg["source"]`` is a spec or
    an address; without it, the environment says. A failing scorer raises in ``step``, and the step fails."""

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        self._source = source_of(cfg)
        self._logs: list[dict[str, float]] = []
        process_scorer(_USE, self._source)

    def step(self, message_log_batch: Sequence[Any], metadata: Sequence[Any]) -> EnvironmentReturn:
        """The rewards (B,) of a batch, float32."""
        rows = [_row(log, info or {}) for log, info in zip(message_log_batch, metadata, strict=True)]
        numbers = process_scorer(_USE, self._source).score_rows(rows)
        self._logs += map(logged, numbers)
        rewards_B = torch.tensor([row["reward"] for row in numbers], dtype=torch.float32)
        said, none = [{"role": "environment", "content": ""}] * len(rows), [None] * len(rows)
        return EnvironmentReturn(said, list(metadata), none, rewards_B, torch.ones_like(rewards_B), none)

    def global_post_process_and_metrics(self, batch: Any) -> tuple[Any, dict[str, float]]:
        """The batch as it is, and the mean of each ``pgsrm/...`` number since the last call."""
        logs, self._logs = self._logs, []
        return batch, means(logs)


def _row(log: Sequence[Mapping[str, Any]], info: Mapping[str, Any]) -> dict[str, Any]:
    messages = [{"role": one["role"], "content": one["content"]} for one in log]  # without their tokens
    asked = next((i for i, one in enumerate(messages) if one["role"] == "assistant"), len(messages))
    return row_of(messages[:asked], messages[asked:], info)


SemanticActor = ray.remote(SemanticEnvironment)


def register() -> None:
    """Makes ``env_name: pgsrm`` known; called before NeMo-RL's main program."""
    from nemo_rl.distributed.ray_actor_environment_registry import ACTOR_ENVIRONMENT_REGISTRY
    from nemo_rl.distributed.virtual_cluster import PY_EXECUTABLES
    from nemo_rl.environments.utils import register_env

    name = f"{__name__}.SemanticActor"
    register_env("pgsrm", name)
    ACTOR_ENVIRONMENT_REGISTRY[name] = PY_EXECUTABLES.SYSTEM
