"""Semantic rewards for LLM reinforcement learning: one reward core for verl, Lightning and the command line.

The public names are imported when first used, so that ``pgsrm --help`` does not wait for torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgsrm_plugin.errors import DataError, PgsrmError, ScorerError, SpecError, UnscorableError
    from pgsrm_plugin.reward import SemanticReward
    from pgsrm_plugin.scorer.scorer import Scorer
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
    "Scorer",
    "ScorerError",
    "SemanticReward",
    "SpecError",
    "UnscorableError",
    "load_spec",
    "parse_spec",
]

_HOMES = {
    "DataError": "pgsrm_plugin.errors",
    "Embeddings": "pgsrm_plugin.types",
    "Encoder": "pgsrm_plugin.types",
    "PgsrmError": "pgsrm_plugin.errors",
    "RewardOutput": "pgsrm_plugin.types",
    "RewardSample": "pgsrm_plugin.types",
    "RewardSpec": "pgsrm_plugin.spec",
    "Scorer": "pgsrm_plugin.scorer.scorer",
    "ScorerError": "pgsrm_plugin.errors",
    "SemanticReward": "pgsrm_plugin.reward",
    "SpecError": "pgsrm_plugin.errors",
    "UnscorableError": "pgsrm_plugin.errors",
    "load_spec": "pgsrm_plugin.spec",
    "parse_spec": "pgsrm_plugin.spec",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
