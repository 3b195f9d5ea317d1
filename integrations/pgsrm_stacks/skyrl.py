"""SkyRL: an environment of one turn; ``python -m pgsrm_stacks.skyrl ...`` is its main program that knows it."""

from __future__ import annotations

import sys
from typing import Any

from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

from pgsrm_plugin.scorer.row_numbers import logged
from pgsrm_stacks.process_scorer import process_scorer, row_of, stack_use

_USE = stack_use("SkyRL")


class SemanticEnv(BaseTextEnv):  # type: ignore[misc]
    """One answer, one reward; what to compare with is looked for in the row's columns. A failing scorer raises."""

    def __init__(self, env_config: Any = None, extras: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._columns = extras or {}
        self._prompt: Any = ""
        self._metrics: dict[str, float] = {}

    def init(self, prompt: Any) -> tuple[Any, dict[str, Any]]:
        """Keeps the prompt."""
        self._prompt = prompt
        return prompt, {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """The reward of the answer; called in many threads, whose rows are scored together."""
        (row,) = process_scorer(_USE).score_rows([row_of(self._prompt, action, self._columns)])
        self._metrics = logged(row)
        return BaseTextEnvStepOutput(observations=[], reward=row["reward"], done=True, metadata={})

    def get_metrics(self) -> dict[str, Any]:
        """The ``pgsrm/...`` numbers of the answer."""
        return self._metrics


def run(cfg: Any) -> None:
    """Trains, in the process that makes the environments, where ``env_class: pgsrm`` must be known."""
    from skyrl.train.entrypoints.main_base import BasePPOExp
    from skyrl_gym.envs import register

    register(id="pgsrm", entry_point="pgsrm_stacks.skyrl:SemanticEnv")
    BasePPOExp(cfg).run()


if __name__ == "__main__":
    import ray
    from skyrl.train.config import SkyRLTrainConfig
    from skyrl.train.utils import initialize_ray, validate_cfg

    config = SkyRLTrainConfig.from_cli_overrides(sys.argv[1:])
    validate_cfg(config)
    initialize_ray(config)
    ray.get(ray.remote(num_cpus=1)(run).remote(config))
