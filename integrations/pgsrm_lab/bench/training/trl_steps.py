"""TRL's GRPOTrainer at the same step: its defaults where they are not this step's settings."""

from __future__ import annotations

import tempfile
from typing import Any

from pgsrm_lab.bench.training.step_settings import SPEC, StepSettings, Turns
from pgsrm_plugin import RewardSample, SemanticReward
from pgsrm_plugin.spec import parse_spec

ENDLESS = 10**6


def trl_settings(settings: StepSettings, folder: str) -> dict[str, Any]:
    """Arguments of ``trl.GRPOConfig``: one optimizer step a rollout, the mean over all tokens as the loss (bnpo)."""
    rows = settings.prompts * settings.group
    return {
        "output_dir": folder,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": 1,
        "num_generations": settings.group,
        "max_completion_length": settings.new_tokens,
        "temperature": 1.0,
        "beta": settings.kl,
        "loss_type": "bnpo",
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "max_steps": ENDLESS,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": settings.device == "cpu",
        "bf16": False,
        "gradient_checkpointing": False,
        "model_init_kwargs": {"dtype": "float32"},
    }


def take_steps(settings: StepSettings, turns: Turns) -> None:
    """Trains until it is told to stop."""
    from datasets import Dataset  # type: ignore[import-untyped]
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    reward = SemanticReward(parse_spec(SPEC))

    def score(prompts: list[Any], completions: list[Any], completion_ids: list[list[int]], **_: Any) -> list[float]:
        turns.tokens = float(sum(map(len, completion_ids)))
        asked = [prompt if isinstance(prompt, str) else prompt[-1]["content"] for prompt in prompts]
        said = [answer if isinstance(answer, str) else answer[-1]["content"] for answer in completions]
        samples = [RewardSample(prompt, answer, (prompt,)) for prompt, answer in zip(asked, said, strict=True)]
        scores: list[float] = reward.score(samples).total_B.tolist()
        return scores

    class TakesTurns(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            turns.begin()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            turns.end()

    texts = settings.texts
    prompts = [[{"role": "user", "content": text}] for text in texts] if settings.chat else texts
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=settings.child,
            reward_funcs=score,
            args=GRPOConfig(**trl_settings(settings, folder)),
            train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
            callbacks=[TakesTurns()],
        )
        trainer._generate = turns.timed("rollout", trainer._generate)
        trainer._calculate_rewards = turns.timed("reward", trainer._calculate_rewards)
        trainer.train()
