"""One run, trained in memory and written at its end, whole or not at all."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from pgsrm_lab.pool import ProgressMessage, RunCancelledError, report
from pgsrm_lab.reproduce import files
from pgsrm_lab.reproduce.prepare import prepare
from pgsrm_lab.reproduce.study import FORMAT, Job
from pgsrm_lab.stages import FLOAT32
from pgsrm_lightning.module import RLModule
from pgsrm_plugin.errors import PgsrmError
from pgsrm_plugin.report import machine, versions

_PARTS = ("rollout", "reward", "update")


@dataclass(frozen=True)
class Outcome:
    """How a run, or a warm start, ended; ``error`` is empty where it went well."""

    job: Job
    error: str = ""
    trace: str = ""


def attempt_prepare(job: Job) -> Outcome:
    """Makes a warm start; an error is an outcome."""
    return _attempt(prepare, job)


def attempt_run(job: Job) -> Outcome:
    """Trains and writes a run; an error is an outcome, and is written too."""
    return _attempt(run, job)


def _attempt(function: Any, job: Job) -> Outcome:
    try:
        function(job)
    except RunCancelledError:
        return Outcome(job, "cancelled")
    except Exception as error:  # whatever goes wrong in one run must not end the others
        message = str(error) if isinstance(error, PgsrmError) else f"{type(error).__name__}: {error}"
        return Outcome(job, message, traceback.format_exc())
    return Outcome(job)


def run(job: Job) -> None:
    """A whole run. Its file is written last, at once."""
    prepare(job)
    trained = job.study.train(job)
    key = {"task": job.task, "arm": job.arm, "update": job.update, "seed": job.seed}
    known = {"format": FORMAT, "digest": job.digest, "protocol": job.protocol.digest, **key}
    where = {"settings": job.protocol.settings, "versions": versions(), "machine": machine()}
    files.write_run(job, {**known, **where, **trained})


class Recorder(Callback):
    """Keeps a run's numbers as curves, reports each step to the main process, and stops when that ends.

    Args:
        measure: more numbers of the child, asked for at each validation.
    """

    def __init__(self, job: Job, measure: Callable[[RLModule], Mapping[str, float]]) -> None:
        self._job, self._measure = job, measure
        self._curves: dict[str, tuple[list[int], list[float]]] = {}
        self.seconds: dict[str, float] = {}

    @property
    def curves(self) -> dict[str, dict[str, list[Any]]]:
        """Each number's steps and values."""
        return {name: {"steps": steps, "values": values} for name, (steps, values) in self._curves.items()}

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        assert isinstance(module, RLModule)
        numbers = trainer.callback_metrics
        for name, value in numbers.items():
            if name.startswith("train/"):
                self.add(name, module.steps_done, float(value))
        for part in _PARTS:
            self.seconds[part] = self.seconds.get(part, 0.0) + float(numbers[f"time/{part}_s"])
        report(ProgressMessage(self._job.name, module.steps_done))

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, RLModule)
        for name, value in trainer.callback_metrics.items():
            if name.startswith("val/"):
                self.add(name, module.steps_done, float(value))
        for name, number in self._measure(module).items():
            self.add(name, module.steps_done, number)

    def add(self, name: str, step: int, value: float) -> None:
        """Puts a number onto its curve; the first one of a step stays."""
        steps, values = self._curves.setdefault(name, ([], []))
        if not steps or steps[-1] < step:
            steps.append(step)
            values.append(value)


def trainer_of(job: Job, recorder: Recorder, accelerator: str = "cpu", precision: Any = FLOAT32) -> Trainer:
    """A trainer that does the protocol's steps and writes nothing."""
    protocol = job.protocol
    return Trainer(
        accelerator=accelerator,
        devices=1,
        precision=precision,
        max_steps=protocol.steps,
        val_check_interval=min(protocol.validate_every, protocol.steps),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=False,
        callbacks=[recorder],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
