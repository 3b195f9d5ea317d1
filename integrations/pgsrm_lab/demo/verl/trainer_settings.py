"""What the demo runs: one set of GRPO settings, as verl's overrides and as a config of `pgsrm train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgsrm_lab.demo.child import SETS, DemoPlan
from pgsrm_plugin.errors import SpecError

SPEC = "pgsrm"
VERL, LIGHTNING = "verl", "Lightning"


@dataclass(frozen=True)
class TrainersPlan(DemoPlan):
    """The demo's settings; those of GRPO are the same on both sides.

    Attributes:
        workers: processes that train in verl, and share the encoder's weights.
        time_limit: seconds that either run may take.
        prompts: of a step, which scores ``prompts * group`` responses.
        epochs: passes over a step's responses, one optimizer step each.
    """

    steps: int = 24
    validate_every: int = 4
    workers: int = 2
    time_limit: float = 1200.0
    seed: int = 0
    prompts: int = 75
    group: int = 8
    epochs: int = 4
    clip: float = 0.2
    learning_rate: float = 3e-4
    entropy: float = 0.02
    kl: float = 0.002

    def __post_init__(self) -> None:
        if self.prompts * self.group % self.workers:
            raise SpecError(
                f"{self.workers} workers cannot share {self.prompts * self.group} responses a step evenly; "
                "take a number that divides it"
            )

    @property
    def episodes(self) -> int:
        return self.steps * self.prompts * self.group

    def settings(self) -> dict[str, str | int | float | bool | None]:
        """What both runs share, as the page shows it."""
        return {
            "algorithm": "GRPO",
            "steps": self.steps,
            "prompts per step": self.prompts,
            "responses to each": self.group,
            "passes over a step's responses": self.epochs,
            "clip": self.clip,
            "learning rate (AdamW, constant)": self.learning_rate,
            "entropy coefficient": self.entropy,
            "KL coefficient (k3, in the loss)": self.kl,
            "new tokens at most": self.new_tokens,
            "temperature": 1.0,
        }


def verl_overrides(plan: TrainersPlan, data: Path, folder: Path) -> list[str]:
    """Hydra overrides on verl's ppo_trainer, without those that a CPU needs.

    Args:
        data: has ``train.parquet`` and ``held_out.parquet``.
        folder: where verl writes validation responses.
    """
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    rows = plan.prompts * plan.group // plan.workers
    values: dict[str, object] = {
        "algorithm.adv_estimator": "grpo",
        "data.train_files": data / "train.parquet",
        "data.val_files": f"[{','.join(str(data / f'{name}.parquet') for name in SETS)}]",
        "data.train_batch_size": plan.prompts,
        "data.max_prompt_length": 16,
        "data.max_response_length": plan.new_tokens,
        "data.seed": plan.seed,
        "actor_rollout_ref.model.path": plan.out / "child",
        f"{actor}.optim.lr": plan.learning_rate,
        f"{actor}.optim.weight_decay": 0.0,
        f"{actor}.clip_ratio": plan.clip,
        f"{actor}.ppo_epochs": plan.epochs,
        f"{actor}.ppo_mini_batch_size": plan.prompts,
        f"{actor}.ppo_micro_batch_size_per_gpu": rows,
        f"{actor}.entropy_coeff": plan.entropy,
        f"{actor}.use_kl_loss": True,
        f"{actor}.kl_loss_coef": plan.kl,
        f"{actor}.kl_loss_type": "low_var_kl",
        f"{actor}.data_loader_seed": plan.seed,
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": rows,
        f"{rollout}.log_prob_micro_batch_size_per_gpu": rows,
        f"{rollout}.n": plan.group,
        f"{rollout}.max_num_seqs": 256,
        "reward.reward_manager.name": "pgsrm",
        "trainer.v1.trainer_mode": "pgsrm_sync",
        "+pgsrm.spec": SPEC,
        "+pgsrm.placement": "shard",
        "trainer.project_name": "pgsrm",
        "trainer.experiment_name": "demo",
        "trainer.logger": "[file]",
        "trainer.resume_mode": "disable",
        "trainer.val_before_train": True,
        "trainer.test_freq": plan.validate_every,
        "trainer.save_freq": -1,
        "trainer.total_epochs": plan.steps,
        "trainer.total_training_steps": plan.steps,
        "trainer.default_local_dir": folder / "checkpoints",
        "+trainer.validation_data_dir": folder / "validation",
        "hydra.run.dir": folder / "hydra",
    }
    return [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in values.items()]


def lightning_config(plan: TrainersPlan, data: Path, folder: Path) -> dict[str, Any]:
    """The same as a config of `pgsrm train`.

    Args:
        data: has ``train.jsonl`` and ``held_out.jsonl``.
        folder: where Lightning writes metrics and rollouts.
    """
    logger = {"save_dir": str(folder), "name": "", "version": "", "flush_logs_every_n_steps": 5}
    grpo = {
        "group_size": plan.group,
        "epochs": plan.epochs,
        "minibatches": 1,
        "clip": plan.clip,
        "entropy_coef": plan.entropy,
        "lr_actor": plan.learning_rate,
        "kl": {"coef": plan.kl, "schedule": "fixed"},
    }
    return {
        "model": {
            "child": str(plan.out / "child"),
            "spec": SPEC,
            "seed": plan.seed,
            "algorithm": "grpo",
            "grpo": grpo,
            "sampling": {"max_new_tokens": plan.new_tokens, "eval_batch_size": 128},
        },
        "data": {
            "train": str(data / "train.jsonl"),
            "val": {name: str(data / f"{name}.jsonl") for name in SETS},
            "prompts_per_step": plan.prompts,
            "steps": plan.steps,
        },
        "trainer": {
            "accelerator": "cpu",
            "max_steps": plan.steps,
            "val_check_interval": min(plan.validate_every, plan.steps),
            "check_val_every_n_epoch": None,
            "num_sanity_val_steps": 0,
            "enable_progress_bar": False,
            "enable_checkpointing": False,
            "default_root_dir": str(folder),
            "logger": {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": logger},
            "callbacks": [{"class_path": "pgsrm_lightning.RolloutLog", "init_args": {"every": 10**6, "rows": 128}}],
        },
    }
