"""What of Lightning's Trainer goes together with a module that takes its optimizer steps itself.

Lightning applies some settings only in the optimizer steps that it takes. Here each is on an allow-list, or refused
with what to set instead.
"""

from __future__ import annotations

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelPruning,
    OnExceptionCheckpoint,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.plugins import MixedPrecision, Precision
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy, StrategyRegistry

from pgsrm_plugin.errors import SpecError

PRECISIONS: dict[str, type[Precision]] = {
    "32-true": Precision,
    "bf16-mixed": MixedPrecision,
    "16-mixed": MixedPrecision,
}
"""The precisions that are supported, each with the plugin that must give it."""
ALIASES = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}
"""Other names that Lightning has for a precision."""
STRATEGIES: tuple[type[Strategy], ...] = (SingleDeviceStrategy, DDPStrategy)
"""The strategies that are supported; a class that derives from one is another strategy."""
CALLBACKS: dict[type[Callback], str] = {
    BaseFinetuning: "it adds parameters to Lightning's optimizer; choose what is trained with model.lora",
    BatchSizeFinder: "it tries steps that are Lightning's; set micro_batch_size of the algorithm",
    GradientAccumulationScheduler: "gradients are accumulated here; set micro_batch_size of the algorithm",
    LearningRateFinder: "it tries steps that are Lightning's; set lr_actor of the algorithm",
    ModelPruning: "the rollout would sample from another model than is trained; prune the saved child",
    OnExceptionCheckpoint: "it would keep half a step; ModelCheckpoint and stopped-step=N.ckpt keep whole ones",
    StochasticWeightAveraging: "its learning rates are set in steps that are Lightning's; average saved children",
    WeightAveraging: "it copies encoder and reference with the module; average saved children",
}
"""Callbacks that take a hand in the update, and why not here and what instead."""
SETTINGS: dict[str, tuple[tuple[float | None, ...], str]] = {
    "gradient_clip_val": ((None, 0), "gradients are scaled down to grad_norm of the algorithm (model.ppo.grad_norm)"),
    "gradient_clip_algorithm": ((None,), "gradients are scaled down by their norm, to grad_norm of the algorithm"),
    "accumulate_grad_batches": ((1,), "gradients are accumulated over rows, micro_batch_size of the algorithm at once"),
    "overfit_batches": ((0,), "each step takes the next prompts; give a file of few prompts as data.train"),
}
"""Settings that would have no effect: the values with which they are not set, and what does it here."""


def check_trainer(trainer: Trainer) -> None:
    """Refuses a trainer with a setting that would not have its effect.

    Raises:
        SpecError: one sentence: the setting, and what to set instead.
    """
    check_strategy(trainer.strategy)
    check_precision(trainer.precision_plugin.precision, trainer.precision_plugin)
    for name, (unset, instead) in SETTINGS.items():
        if getattr(trainer, name) not in unset:
            raise SpecError(f"trainer.{name} has no effect on this module; leave it out: {instead}")
    for callback in getattr(trainer, "callbacks"):  # noqa: B009 (Lightning sets it without declaring it)
        for kind, why in CALLBACKS.items():
            if isinstance(callback, kind):
                raise SpecError(f"trainer.callbacks: {type(callback).__name__} does not work with this module: {why}")
        if getattr(callback, "save_on_exception", False):
            raise SpecError(
                f"trainer.callbacks: save_on_exception of {type(callback).__name__} would keep half a step; leave it "
                "out: what was saved last, and stopped-step=N.ckpt after a signal, are whole steps"
            )


def check_one_process(trainer: Trainer) -> None:
    """Refuses a trainer beside whose process vLLM cannot draw.

    Raises:
        SpecError: one sentence: the setting, and what to set instead.
    """
    device = trainer.strategy.root_device
    if not isinstance(trainer.strategy, SingleDeviceStrategy):
        raise SpecError(
            "model.sampling.engine: vllm draws in the one process that trains; set trainer.devices: 1 and strategy: "
            "auto, or engine: hf, which works with several processes"
        )
    if device.type not in ("cuda", "cpu"):
        raise SpecError(f"model.sampling.engine: vllm runs on CUDA GPUs and CPUs, not on {device.type}; set engine: hf")
    if device.index:
        raise SpecError(
            f"model.sampling.engine: vllm takes the first GPU that it sees, and the child is on number {device.index}; "
            f"set trainer.devices: 1, and CUDA_VISIBLE_DEVICES={device.index} in the environment"
        )


def check_precision(name: str | int | None, plugin: Precision | None = None) -> None:
    """Refuses a precision that is not in :data:`PRECISIONS`.

    Args:
        name: as the Trainer takes it; None is its default.
        plugin: what gives the precision, where it is known already.

    Raises:
        SpecError: one sentence.
    """
    name = "32-true" if name is None else ALIASES.get(str(name), str(name))
    if name not in PRECISIONS:
        raise SpecError(f"trainer.precision: {name} is not supported; take {' or '.join(PRECISIONS)}")
    if plugin is not None and type(plugin) is not PRECISIONS[name]:
        kind = type(plugin).__name__
        raise SpecError(f"trainer.precision: {kind} is not supported; set precision to {' or '.join(PRECISIONS)}")


def check_strategy(strategy: object) -> None:
    """Refuses a strategy that is not in :data:`STRATEGIES`.

    Args:
        strategy: one, or a name that the Trainer takes; names that Lightning does not know are left to it.

    Raises:
        SpecError: one sentence.
    """
    kind = StrategyRegistry[strategy]["strategy"] if strategy in StrategyRegistry.available_strategies() else None
    if isinstance(strategy, Strategy):
        kind = type(strategy)
    if kind is not None and kind not in STRATEGIES:
        name = strategy if isinstance(strategy, str) else kind.__name__
        raise SpecError(f"trainer.strategy: {name} is not supported; take 'auto' with one device, or 'ddp'")
