"""The algorithms, by the class of their settings."""

from __future__ import annotations

from pgsrm_lightning.algorithms.grpo import GRPO
from pgsrm_lightning.algorithms.ppo import PPO
from pgsrm_lightning.algorithms.reinforce import Reinforce
from pgsrm_lightning.config import GRPOConfig, PPOConfig, ReinforceConfig

AlgorithmConfig = PPOConfig | GRPOConfig | ReinforceConfig
Algorithm = PPO | GRPO | Reinforce

ALGORITHMS: dict[type, type[PPO] | type[GRPO] | type[Reinforce]] = {
    PPOConfig: PPO,
    GRPOConfig: GRPO,
    ReinforceConfig: Reinforce,
}


def build_algorithm(config: AlgorithmConfig) -> Algorithm:
    """What learns, as its settings say."""
    return ALGORITHMS[type(config)](config)
