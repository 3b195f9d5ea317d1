"""Training on Lightning: PPO and GRPO on semantic rewards, and the supervised stages before, on one machine.

    from lightning.pytorch import Trainer
    from pgsrm_lightning import PPOConfig, PromptData, RLModule, RolloutLog, SamplingConfig

    sampling = SamplingConfig(max_new_tokens=2)
    module = RLModule(child="gpt2", spec="reward.yaml", algorithm=PPOConfig(), sampling=sampling)
    data = PromptData(train="train.jsonl", val={"held_out": "held_out.jsonl"}, prompts_per_step=32, steps=200)
    Trainer(max_epochs=1, log_every_n_steps=1, callbacks=[RolloutLog("runs/rollouts.jsonl")]).fit(module, data)

``spec`` may also be a :class:`~pgsrm_plugin.RewardSpec`, or a built :class:`~pgsrm_plugin.SemanticReward` that several
runs share. ``module.answer(records)`` gives greedy answers with their rewards; ``trainer.validate(module, data)`` logs
``val/<set>/accuracy``, ``/semantic`` and ``/reward``. ``ImitationModule`` with ``AnswerData`` or ``TextData`` is
supervised fine-tuning or continued pre-training. Names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgsrm_lightning.algorithms.base import KLConfig
    from pgsrm_lightning.algorithms.grpo import GRPOConfig
    from pgsrm_lightning.algorithms.ppo import PPOConfig
    from pgsrm_lightning.algorithms.reinforce import ReinforceConfig
    from pgsrm_lightning.callbacks import RolloutLog, SaveChild
    from pgsrm_lightning.config import (
        GroupFilterConfig,
        GuidanceConfig,
        LearnedWeightsConfig,
        LoraConfig,
        SamplingConfig,
    )
    from pgsrm_lightning.data import PromptData
    from pgsrm_lightning.module import RLModule
    from pgsrm_lightning.rollout.scoring import Answers
    from pgsrm_lightning.supervised.corpus import AnswerData, TextData
    from pgsrm_lightning.supervised.imitation import AdamWConfig, ImitationModule

_HOMES = {
    "AdamWConfig": "supervised.imitation",
    "AnswerData": "supervised.corpus",
    "Answers": "rollout.scoring",
    "GRPOConfig": "algorithms.grpo",
    "GroupFilterConfig": "config",
    "GuidanceConfig": "config",
    "ImitationModule": "supervised.imitation",
    "KLConfig": "algorithms.base",
    "LearnedWeightsConfig": "config",
    "LoraConfig": "config",
    "PPOConfig": "algorithms.ppo",
    "PromptData": "data",
    "RLModule": "module",
    "ReinforceConfig": "algorithms.reinforce",
    "RolloutLog": "callbacks",
    "SaveChild": "callbacks",
    "SamplingConfig": "config",
    "TextData": "supervised.corpus",
}

__all__ = [
    "AdamWConfig",
    "AnswerData",
    "Answers",
    "GRPOConfig",
    "GroupFilterConfig",
    "GuidanceConfig",
    "ImitationModule",
    "KLConfig",
    "LearnedWeightsConfig",
    "LoraConfig",
    "PPOConfig",
    "PromptData",
    "RLModule",
    "ReinforceConfig",
    "RolloutLog",
    "SamplingConfig",
    "SaveChild",
    "TextData",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
