"""The algorithms, by the class of their settings."""

from __future__ import annotations

from pgsrm_lightning.config import GRPOConfig, PPOConfig, ReinforceConfig
from pgsrm_lightning.grpo import GRPO
from pgsrm_lightning.ppo import PPO
from pgsrm_lightning.reinforce import Reinforce

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
