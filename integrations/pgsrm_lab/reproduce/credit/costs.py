"""What a step costs: processor time of whole steps, and the trainer's own clocks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from pgsrm_lab.reproduce.worker import Recorder
from pgsrm_lightning.module import RLModule

STEP = "time/step_cpu_s"
"""Processor seconds of a whole step: others' load on the machine does not enter."""


class CostRecorder(Recorder):
    """A recorder that keeps the clocks, too."""

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        """Starts the clock."""
        self._began = time.process_time()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        """Keeps the clocks beside the other numbers."""
        assert isinstance(module, RLModule)
        taken = time.process_time() - self._began
        super().on_train_batch_end(trainer, module, *args)
        clocks = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("time/")}
        for name, value in {**clocks, STEP: taken}.items():
            self.add(name, module.steps_done, value)


def mean_of(curves: Mapping[str, Any], name: str, only: slice = slice(None)) -> float | None:
    """The mean of a number over a run's steps; None where it was not logged."""
    if name not in curves:
        return None
    values: Sequence[float] = curves[name]["values"][only]
    return sum(values) / len(values)
