"""A worker process: it loads the encoder once and trains one run after the other with Lightning's Trainer."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from pgsrm_lab.demo.child import SETS
from pgsrm_lab.demo.lightning.reward_runs import LABELS, RewardRun
from pgsrm_lab.pool import ProgressMessage, report
from pgsrm_lightning.callbacks import RolloutLog
from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_plugin import RewardSpec, SemanticReward, load_spec
from pgsrm_plugin.report import RunInfo, machine, versions, write_info
from pgsrm_plugin.spec.shipped import find_spec_file
from pgsrm_plugin.terms.exact_match import ExactMatch

_state: dict[str, Any] = {}


def load_encoder() -> None:
    """Loads the encoder, once a process."""
    if "semantic" not in _state:
        _state["semantic"] = SemanticReward(validation_spec())


def validation_spec() -> RewardSpec:
    """What the answers of both rewards are measured with: PGSRM's semantic term, and exact match logged beside it."""
    spec = load_spec(find_spec_file("pgsrm"))
    terms = {**spec.terms, "exact_match": ExactMatch()}
    weights = {**{name: spec.weight(name) for name in spec.terms}, "exact_match": 0.0}
    return spec.model_copy(update={"name": "validation", "terms": terms, "weights": weights})


class StepReport(Callback):
    """Reports each step to the main process, and stops when that ends."""

    def __init__(self, run: RewardRun) -> None:
        self._run = run
        self.seconds: dict[str, float] = {}

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        assert isinstance(module, RLModule)
        numbers = trainer.callback_metrics
        for part in ("rollout", "reward", "update"):
            self.seconds[part] = self.seconds.get(part, 0.0) + float(numbers[f"time/{part}_s"])
        reward, accuracy = (numbers.get(name) for name in ("train/reward", "val/train/accuracy"))
        values = [None if value is None else float(value) for value in (reward, accuracy)]
        report(ProgressMessage(self._run.name, module.steps_done, *values))


def train(run: RewardRun) -> None:
    """One whole run: validation of the warm start, PPO, validation all along, rollouts at both ends, run.json last."""
    load_encoder()
    plan, started = run.plan, time.perf_counter()
    semantic: SemanticReward = _state["semantic"]
    spec_file = find_spec_file(LABELS[run.label])
    spec = load_spec(spec_file)
    module = RLModule(
        child=str(plan.out / "child"),
        spec=SemanticReward(spec, semantic.encoder if spec.encoder is not None else None),
        algorithm=plan.ppo,
        sampling=SamplingConfig(max_new_tokens=plan.new_tokens, eval_batch_size=128),
        seed=run.seed,
        val_spec=semantic,
    )
    data = PromptData(
        train=str(plan.out / "train.jsonl"),
        val={name: str(plan.out / f"{name}.jsonl") for name in SETS},
        prompts_per_step=plan.prompts_per_step,
        steps=plan.steps,
    )
    rollouts, step_report = RolloutLog(every=max(1, plan.steps // 4), rows=128), StepReport(run)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=plan.steps,
        val_check_interval=min(plan.validate_every, plan.steps),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=CSVLogger(run.folder, name="", version="", flush_logs_every_n_steps=plan.validate_every),
        callbacks=[rollouts, step_report],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    seconds = {"total": time.perf_counter() - started, **step_report.seconds}
    write_info(run.folder, _info(run, spec_file.read_text(encoding="utf-8"), module, seconds))


def _info(run: RewardRun, spec: str, module: RLModule, seconds: dict[str, float]) -> RunInfo:
    plan = run.plan
    ppo = {f"ppo.{name}": value for name, value in dataclasses.asdict(plan.ppo).items() if not isinstance(value, dict)}
    ppo |= {f"ppo.kl.{name}": value for name, value in dataclasses.asdict(plan.ppo.kl).items()}
    return RunInfo(
        label=run.label,
        seed=run.seed,
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
