"""The module that learns to continue: cross entropy over the tokens that are learned, in Lightning's own loop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from pgsrm_lightning import checkpoint as ckpt
from pgsrm_lightning.checks import check_precision, check_strategy
from pgsrm_lightning.config import LoraConfig, Settings, bounded
from pgsrm_lightning.engines.engine import keyed_seed
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.module import INTENDED
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.supervised.packs import Pack
from pgsrm_plugin.errors import PgsrmError, SpecError

Schedule = Literal["cosine", "linear", "constant"]
KIND = "supervised"
"""In a checkpoint's fingerprint, where others have their algorithm."""


@dataclass(frozen=True)
class AdamWConfig(Settings):
    """The optimizer.

    Attributes:
        lr: the highest learning rate.
        warmup: the share of all steps in which it rises from 0.
        schedule: how it falls from there to 0 at the last step; ``constant``: not at all.
        weight_decay: as AdamW has it.
    """

    lr: float = bounded(1e-5, above=0)
    warmup: float = bounded(0.03, at_least=0, at_most=1)
    schedule: Schedule = "cosine"
    weight_decay: float = bounded(0.0, at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule not in get_args(Schedule):
            raise SpecError(
                f"AdamWConfig.schedule must be one of {', '.join(get_args(Schedule))}, not {self.schedule!r}"
            )

    def factor(self, steps: float) -> Callable[[int], float]:
        """The learning rate at a step, as a share of ``lr``, for a training of so many steps.

        >>> at = AdamWConfig(warmup=0.2, schedule="linear").factor(10)
        >>> at(0), at(1), at(2), at(6), at(10)
        (0.5, 1.0, 1.0, 0.5, 0.0)
        """
        rising = math.ceil(self.warmup * steps) if math.isfinite(steps) else 0

        def at(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            if self.schedule == "constant":
                return 1.0
            gone = min(1.0, (step - rising) / max(1.0, steps - rising))
            return 1.0 - gone if self.schedule == "linear" else (1.0 + math.cos(math.pi * gone)) / 2

        return at


class ImitationModule(LightningModule):
    r"""Trains a child to continue as its examples do: :math:`-\frac1{|M|} \sum_{t \in M} \log p(x_t \mid x_{<t})`.

    The mean is over the learned tokens :math:`M` of the whole optimizer step, whatever it is split into. Lightning
    accumulates, clips and steps. The child stays in eval mode: no dropout, as under ``pgsrm train``.

    Args:
        child: folder or hub id of a causal language model.
        lora: train low-rank adapters instead of all weights.
        revision: commit of the child's hub repository.
        gradient_checkpointing: compute each layer again in the backward pass instead of keeping what it computed.

    Raises:
        SpecError: the child cannot be loaded.
    """

    def __init__(
        self,
        child: str,
        optimizer: AdamWConfig | None = None,
        seed: int = 0,
        *,
        lora: LoraConfig | None = None,
        revision: str | None = None,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.seed, self.optimizer, self.packs_done = seed, optimizer or AdamWConfig(), 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(keyed_seed(seed))
            options = {"value_head": False, "reference": False, "gradient_checkpointing": gradient_checkpointing}
            self.policy = Policy(child, revision, lora, **options)
        self.fingerprint = ckpt.fingerprint(self.policy, KIND, lora)
        self._val_meter: Meter | None = None

    def configure_callbacks(self) -> list[Callback]:
        """None. Lightning asks here before anything else, so a trainer that does not go with the module is refused.

        Raises:
            SpecError: precision or strategy is not supported, or accumulation changes during the run.
        """
        check_strategy(self.trainer.strategy)
        check_precision(self.trainer.precision_plugin.precision, self.trainer.precision_plugin)
        if any(isinstance(each, GradientAccumulationScheduler) for each in getattr(self.trainer, "callbacks")):  # noqa: B009
            raise SpecError(
                "trainer.callbacks: GradientAccumulationScheduler: set trainer.accumulate_grad_batches instead"
            )
        return []

    def setup(self, stage: str) -> None:
        """Silences what is meant to be so."""
        for message in INTENDED:
            warnings.filterwarnings("ignore", message=message)

    def configure_optimizers(self) -> Any:
        """AdamW on what is trained, with its schedule."""
        trained = [parameter for parameter in self.policy.parameters() if parameter.requires_grad]
        adamw = torch.optim.AdamW(trained, lr=self.optimizer.lr, weight_decay=self.optimizer.weight_decay)
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps) and self.optimizer.schedule != "constant":
            raise SpecError(
                "trainer: an endless training has no schedule; set max_epochs or max_steps, or a constant one"
            )
        schedule = LambdaLR(adamw, self.optimizer.factor(steps))
        return {"optimizer": adamw, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Pack, batch_idx: int) -> Tensor:
        """The pack's share of the step's loss.

        Raises:
            PgsrmError: it is not finite.
        """
        total = self._total(batch)
        if not bool(total.isfinite()):
            raise PgsrmError("the loss is not finite: lower model.optimizer.lr, or train in 32-bit precision")
        self.packs_done += 1
        self.log("train/loss", total.detach() / batch.targets, prog_bar=True, batch_size=batch.targets)
        return total / batch.share

    def on_validation_epoch_start(self) -> None:
        """Counts anew."""
        self._val_meter = Meter(self.device)

    def validation_step(self, batch: Pack, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Adds a pack up."""
        assert self._val_meter is not None
        total = self._total(batch) if batch.examples else 0.0
        self._val_meter.add(f"val/{batch.split}/loss", total, float(batch.targets))

    def on_validation_epoch_end(self) -> None:
        """Logs each set's mean loss over its learned tokens."""
        if self._val_meter is not None and self._val_meter.names:
            for name, mean in self._val_meter.means().items():
                self.log(name, mean, prog_bar=True, add_dataloader_idx=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the run's own state; leaves out what no step changes (with LoRA, the base model)."""
        checkpoint[ckpt.KEY] = {"fingerprint": self.fingerprint, "packs": self.packs_done}
        ckpt.leave_out_frozen(checkpoint, self.policy)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses another model's checkpoint, before any weight is loaded, and takes up the run's state."""
        self.packs_done = ckpt.read_state(checkpoint, self.fingerprint)["packs"]
        ckpt.put_back_frozen(checkpoint, self)

    def _total(self, batch: Pack) -> Tensor:
        """The sum of minus the log-probabilities of what is learned."""
        tokens = [torch.from_numpy(example.tokens).long().to(self.device) for example in batch.examples]
        return -self.policy.logprobs_of(tokens, [example.first for example in batch.examples]).sum()
