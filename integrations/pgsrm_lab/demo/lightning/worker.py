"""A worker process: it loads the encoder once and trains one run after the other with Lightning's Trainer."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from pgsrm_lab import pool
from pgsrm_lab.demo.lightning.plan import LABELS, Job
from pgsrm_lightning.callbacks import RolloutLog
from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_plugin import RewardSpec, SemanticReward, load_spec
from pgsrm_plugin.report import RunInfo, machine, versions, write_info
from pgsrm_plugin.spec.shipped import find_spec_file
from pgsrm_plugin.terms.exact_match import ExactMatch

VAL_SETS = ("train", "held_out")


@dataclass(frozen=True)
class Beat:
    """A sign of life: where a run is."""

    label: str
    seed: int
    step: int
    reward: float | None = None
    accuracy: float | None = None


class RunCancelledError(Exception):
    """Another worker failed; this one stops."""


_state: dict[str, Any] = {}


def ready() -> None:
    """Loads the encoder, once a process; workers do it while the main process teaches parent and child."""
    if "semantic" not in _state:
        _state["semantic"] = SemanticReward(validation_spec())


def validation_spec() -> RewardSpec:
    """The common yardstick of both rewards: PGSRM's semantic term, and exact match logged beside it."""
    spec = load_spec(find_spec_file("pgsrm"))
    terms = {**spec.terms, "exact_match": ExactMatch()}
    weights = {**{name: spec.weight(name) for name in spec.terms}, "exact_match": 0.0}
    return spec.model_copy(update={"name": "validation", "terms": terms, "weights": weights})


class Heartbeat(Callback):
    """Reports each step, and stops the run when another one failed."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.seconds: dict[str, float] = {}

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        if pool.stopped():
            raise RunCancelledError
        numbers = trainer.callback_metrics
        for part in ("rollout", "reward", "update"):
            self.seconds[part] = self.seconds.get(part, 0.0) + float(numbers[f"time/{part}_s"])
        reward, accuracy = (numbers.get(name) for name in ("train/reward", "val/train/accuracy"))
        values = [None if value is None else float(value) for value in (reward, accuracy)]
        pool.tell(Beat(self._job.label, self._job.seed, module.steps_done, *values))


def train(job: Job) -> Job:
    """One whole run: validation of the warm start, PPO, validation all along, rollouts at both ends, run.json last."""
    ready()
    plan, started = job.plan, time.perf_counter()
    semantic: SemanticReward = _state["semantic"]
    spec_file = find_spec_file(LABELS[job.label])
    spec = load_spec(spec_file)
    module = RLModule(
        child=str(plan.out / "child"),
        spec=SemanticReward(spec, semantic.encoder if spec.encoder is not None else None),
        algorithm=plan.ppo,
        sampling=SamplingConfig(max_new_tokens=plan.new_tokens, eval_batch_size=128),
        seed=job.seed,
        val_spec=semantic,
    )
    data = PromptData(
        train=str(plan.out / "train.jsonl"),
        val={name: str(plan.out / f"{name}.jsonl") for name in VAL_SETS},
        prompts_per_step=plan.prompts_per_step,
        steps=plan.steps,
    )
    rollouts, heartbeat = RolloutLog(every=max(1, plan.steps // 4), rows=128), Heartbeat(job)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=plan.steps,
        val_check_interval=min(plan.validate_every, plan.steps),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=CSVLogger(job.folder, name="", version="", flush_logs_every_n_steps=plan.validate_every),
        callbacks=[rollouts, heartbeat],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    seconds = {"total": time.perf_counter() - started, **heartbeat.seconds}
    write_info(job.folder, _info(job, spec_file.read_text(encoding="utf-8"), module, seconds))
    return job


def _info(job: Job, spec: str, module: RLModule, seconds: dict[str, float]) -> RunInfo:
    plan = job.plan
    ppo = {f"ppo.{name}": value for name, value in dataclasses.asdict(plan.ppo).items() if not isinstance(value, dict)}
    ppo |= {f"ppo.kl.{name}": value for name, value in dataclasses.asdict(plan.ppo.kl).items()}
    return RunInfo(
        label=job.label,
        seed=job.seed,
        episodes=module.episodes,
        spec=spec,
        seconds=seconds,
        settings={
            "steps": plan.steps,
            "prompts per step": plan.prompts_per_step,
            "child parameters": sum(parameter.numel() for parameter in module.policy.lm.parameters()),
            **ppo,
        },
        versions=versions(),
        machine=machine(),
    )
