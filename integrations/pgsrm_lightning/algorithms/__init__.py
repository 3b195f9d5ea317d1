"""The algorithms. One file has one whole: settings, targets, loss, and where it comes from."""

from __future__ import annotations

from pgsrm_lightning.algorithms.base import Algorithm, AlgorithmConfig, KLConfig
from pgsrm_lightning.algorithms.grpo import GRPOConfig
from pgsrm_lightning.algorithms.ppo import PPOConfig
from pgsrm_lightning.algorithms.reinforce import ReinforceConfig

__all__ = ["ALGORITHMS", "Algorithm", "AlgorithmConfig", "KLConfig"]

ALGORITHMS: tuple[type[AlgorithmConfig], ...] = (PPOConfig, GRPOConfig, ReinforceConfig)
"""Every algorithm that YAML can name, by its settings; the first is the default."""
