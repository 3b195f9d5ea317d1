"""Our training step, as `pgsrm train` takes it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from pgsrm_lab.bench.training.step_settings import SPEC, StepSettings, Turns
from pgsrm_lightning.algorithms.base import KLConfig
from pgsrm_lightning.algorithms.grpo import GRPOConfig
from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_plugin.spec import parse_spec

ENDLESS = 10**6


class _TakesTurns(Callback):
    def __init__(self, turns: Turns, rows: int) -> None:
        self._turns, self._rows = turns, rows

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._turns.begin()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        logged = trainer.callback_metrics
        self._turns.phases.update({name: float(logged[f"time/{name}_s"]) for name in ("rollout", "reward")})
        self._turns.tokens = float(logged["train/response_tokens"]) * self._rows
        self._turns.end()


def take_steps(settings: StepSettings, turns: Turns) -> None:
    """Trains until it is told to stop."""
    kl = KLConfig(coef=settings.kl, schedule="fixed")
    sampling = SamplingConfig(max_new_tokens=settings.new_tokens, chat=settings.chat)
    algorithm = GRPOConfig(group_size=settings.group, kl=kl, lr_actor=1e-6)
    with tempfile.TemporaryDirectory() as folder:
        rows = [json.dumps({"prompt": text, "reference": text}) + "\n" for text in settings.texts]
        (Path(folder) / "prompts.jsonl").write_text("".join(rows), encoding="utf-8")
        trainer = Trainer(
            accelerator=settings.device,
            devices=1,
            max_epochs=1,
            logger=False,
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[_TakesTurns(turns, settings.prompts * settings.group)],
        )
        data = PromptData(str(Path(folder) / "prompts.jsonl"), prompts_per_step=settings.prompts, steps=ENDLESS)
        trainer.fit(RLModule(settings.child, parse_spec(SPEC), algorithm, sampling), data)
