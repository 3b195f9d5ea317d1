"""Semantic rewards for LLM reinforcement learning: one reward core for verl, Lightning and the command line."""

from pgsrm_plugin.errors import DataError, PgsrmError, ScorerError, SpecError, UnscorableError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import RewardSpec, load_spec, parse_spec
from pgsrm_plugin.types import Embeddings, Encoder, RewardOutput, RewardSample

__all__ = [
    "DataError",
    "Embeddings",
    "Encoder",
    "PgsrmError",
    "RewardOutput",
    "RewardSample",
    "RewardSpec",
    "ScorerError",
    "SemanticReward",
    "SpecError",
    "UnscorableError",
    "load_spec",
    "parse_spec",
]
