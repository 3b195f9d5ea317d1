"""Every setting of Lightning's Trainer has its effect on a module that takes its own steps, or is refused."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import get_args

import pytest
from lightning.fabric.plugins.precision.precision import _PRECISION_INPUT
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    OnExceptionCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.plugins import DoublePrecision, HalfPrecision
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry

from pgsrm_lightning import GRPOConfig, PromptData, RLModule, SamplingConfig
from pgsrm_lightning.checks import SETTINGS, check_strategy
from pgsrm_lightning.cli import trainer
from pgsrm_plugin import SpecError, parse_spec

EXACT = parse_spec("terms: {exact_match: {}}")
PRECISIONS = [value for kind in get_args(_PRECISION_INPUT) for value in get_args(kind)]
SUPPORTED_PRECISIONS = {"32-true", "32", 32, "bf16-mixed", "bf16", "16-mixed", "16", 16}
RUN = {
    "barebones": True,
    "benchmark": True,
    "check_val_every_n_epoch": 2,
    "detect_anomaly": True,
    "deterministic": True,
    "enable_checkpointing": True,
    "fast_dev_run": True,
    "inference_mode": False,
    "limit_train_batches": 1,
    "limit_val_batches": 1,
    "max_epochs": 2,
    "max_steps": 1,
    "max_time": "00:00:00:30",
    "min_epochs": 1,
    "min_steps": 1,
    "num_sanity_val_steps": 1,
    "profiler": "simple",
    "reload_dataloaders_every_n_epochs": 1,
    "sync_batchnorm": True,
    "use_distributed_sampler": False,
    "val_check_interval": 1,
}
"""Settings that a run of two steps is tried with."""
ELSEWHERE = {
    *(
        "precision",
        "plugins",
        "strategy",
        "devices",
        "callbacks",
        *SETTINGS,
    ),  # below, and test_update, test_distributed
    *("logger", "log_every_n_steps", "default_root_dir", "enable_progress_bar", "enable_model_summary"),  # test_cli
    "accelerator",
}
NOT_OURS = {
    *("limit_test_batches", "limit_predict_batches"),  # there is nothing to test or predict
    *("num_nodes", "enable_autolog_hparams", "model_registry"),  # where processes run, and what loggers do
}


@pytest.fixture
def run(tiny_child, colour_file, tmp_path):
    """Two steps of the command, with further arguments."""

    def call(*arguments):
        base = ["--model.child", tiny_child, "--model.spec", "binary", "--data.train", colour_file]
        base += ["--model.sampling.max_new_tokens=2", "--data.prompts_per_step=2", "--data.steps=2"]
        base += ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
        trainer.main([*base, f"--trainer.default_root_dir={tmp_path}", *arguments])

    return call


def test_every_argument_of_the_trainer_is_decided_upon():
    assert set(inspect.signature(Trainer.__init__).parameters) - {"self"} == {*RUN, *ELSEWHERE, *NOT_OURS}


@pytest.mark.parametrize("precision", PRECISIONS, ids=repr)
def test_a_precision_trains_or_is_refused(precision, run, capsys):
    if precision in SUPPORTED_PRECISIONS:
        run(f"--trainer.precision={precision}")  # on a CPU Lightning makes bf16-mixed of 16-mixed; see test_update
    else:
        with pytest.raises(SpecError, match=r"^trainer\.precision: .* not supported; take 32-true or bf16-mixed or 16"):
            run(f"--trainer.precision={precision}")


@pytest.mark.parametrize("plugin", [HalfPrecision("bf16-true"), DoublePrecision()], ids=lambda p: p.precision)
def test_a_precision_that_comes_as_a_plugin_is_refused_too(plugin, tiny_child, colour_file, quiet_trainer):
    with pytest.raises(SpecError, match=r"^trainer\.precision"):
        quiet_trainer(plugins=[plugin]).fit(RLModule(tiny_child, EXACT), PromptData(colour_file, steps=1))


@pytest.mark.parametrize("strategy", StrategyRegistry.available_strategies())
def test_a_strategy_is_one_of_ddp_or_refused(strategy):
    if strategy.startswith("ddp") or strategy == "single_device":
        check_strategy(strategy)
    else:
        with pytest.raises(SpecError, match=rf"^trainer\.strategy: {strategy} is not supported; take 'auto' with one"):
            check_strategy(strategy)


def test_a_strategy_that_comes_as_an_object_is_refused_too(tiny_child, quiet_trainer):
    module = RLModule(tiny_child, EXACT)
    module.trainer = quiet_trainer()
    module.configure_callbacks()
    module.trainer.strategy.__class__ = ModelParallelStrategy
    with pytest.raises(SpecError, match=r"^trainer\.strategy: ModelParallelStrategy is not supported"):
        module.configure_callbacks()


@pytest.mark.parametrize(("name", "value"), [*RUN.items()])
def test_a_setting_that_is_not_refused_works(name, value, tiny_child, colour_file, quiet_trainer):
    module = RLModule(tiny_child, EXACT, GRPOConfig(group_size=2), SamplingConfig(max_new_tokens=2))
    settings = {name: value}
    if name == "barebones":
        ours = ("enable_checkpointing", "logger", "enable_progress_bar", "log_every_n_steps", "enable_model_summary")
        settings |= dict.fromkeys((*ours, "num_sanity_val_steps"))
    quiet_trainer(**settings).fit(module, PromptData(colour_file, {"seen": colour_file}, prompts_per_step=2, steps=2))
    assert module.steps_done == {"fast_dev_run": 1, "limit_train_batches": 1, "max_steps": 1, "max_epochs": 4}.get(
        name, 2
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trainer.gradient_clip_val=1.0"], "trainer.gradient_clip_val has no effect on this module; leave it out: "),
        (["--trainer.gradient_clip_algorithm=value"], "trainer.gradient_clip_algorithm has no effect"),
        (["--trainer.accumulate_grad_batches=4"], "micro_batch_size of the algorithm at once"),
        (["--trainer.overfit_batches=1"], "give a file of few prompts as data.train"),
        (["--trainer.strategy=fsdp"], "trainer.strategy: fsdp is not supported; take 'auto' with one device, or 'ddp'"),
        (["--trainer.strategy=deepspeed_stage_3"], "trainer.strategy: deepspeed_stage_3 is not supported"),
        (["--trainer.strategy=dpp"], "trainer: You selected an invalid strategy name: `strategy='dpp'`"),
        (["--trainer.accelerator=cuda"], "trainer: `CUDAAccelerator` can not run on your system"),
        (["--trainer.devices=0"], "trainer: "),
        (
            [
                "--trainer.callbacks+=lightning.pytorch.callbacks.StochasticWeightAveraging",
                "--trainer.callbacks.swa_lrs=1e-3",
            ],
            "trainer.callbacks: StochasticWeightAveraging does not work with this module: ",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_refused_gets_one_sentence(arguments, message, run):
    with pytest.raises(SpecError) as caught:
        run(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "callback",
    [
        GradientAccumulationScheduler({0: 2}),
        StochasticWeightAveraging(1e-3),
        LearningRateFinder(),
        EMAWeightAveraging(),
        OnExceptionCheckpoint("."),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_a_callback_that_takes_a_hand_in_the_update_is_refused(callback, tiny_child, colour_file, quiet_trainer):
    with pytest.raises(SpecError, match=rf"^trainer\.callbacks: {type(callback).__name__} does not work"):
        quiet_trainer(callbacks=[callback], enable_checkpointing=True).fit(
            RLModule(tiny_child, EXACT), PromptData(colour_file, steps=1)
        )


def test_a_checkpoint_of_half_a_step_is_refused(tiny_child, colour_file, quiet_trainer, tmp_path):
    callback = ModelCheckpoint(tmp_path, save_on_exception=True)
    with pytest.raises(
        SpecError, match=r"^trainer\.callbacks: save_on_exception of ModelCheckpoint would keep half a step"
    ):
        quiet_trainer(callbacks=[callback], enable_checkpointing=True).fit(
            RLModule(tiny_child, EXACT), PromptData(colour_file, steps=1)
        )


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_without_effect_is_refused_in_python(name, tiny_child, colour_file, quiet_trainer):
    value = {"gradient_clip_algorithm": "norm", "gradient_clip_val": 0.5}.get(name, 2)
    with pytest.raises(SpecError, match=rf"^trainer\.{name} has no effect on this module; leave it out: "):
        quiet_trainer(**{name: value}).fit(RLModule(tiny_child, EXACT), PromptData(colour_file, steps=1))


@pytest.mark.parametrize("arguments", [[], ["--trainer.accumulate_grad_batches=4"], ["--trainer.precision=16-true"]])
def test_the_command_exits_with_2(arguments, tiny_child, colour_file):
    base = ["--model.child", tiny_child, "--model.spec", "binary", "--data.train", colour_file] if arguments else []
    command = [sys.executable, "-c", "from pgsrm_plugin.cli import main; main()", "train", *base, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("pgsrm: ")
