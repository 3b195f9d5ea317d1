"""LightningCLI with errors of one sentence, and `pgsrm train` by it: :class:`RLModule` on :class:`PromptData`."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import signal
import traceback
import warnings
import zipfile
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import typer
import yaml
from jsonargparse import dict_to_namespace
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import SIGTERMException

from pgsrm_lightning.algorithms import ALGORITHMS, AlgorithmConfig
from pgsrm_lightning.checkpoint import WholeFiles
from pgsrm_lightning.checks import check_precision, check_strategy
from pgsrm_lightning.cli.messages import explain, known_keys
from pgsrm_lightning.config import LoraConfig, SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_plugin.errors import PgsrmError, SpecError
from pgsrm_plugin.stopping import Stopped

LIGHTNING = ("lightning.", "lightning_utilities.")
"""How the names of Lightning's modules begin."""
FROM_FIT = (MisconfigurationException, ValueError, TypeError, ImportError, RuntimeError)
"""What Lightning raises about settings once it has model and data."""


def with_sections(function: Callable[..., RLModule]) -> Callable[..., RLModule]:
    """Replaces ``**sections`` by a section for each algorithm, in what jsonargparse reads."""
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())[:-1]
    names = Literal.__getitem__(tuple(settings.name for settings in ALGORITHMS))
    parameters = [each.replace(annotation=names) if each.name == "algorithm" else each for each in parameters]
    sections = [
        inspect.Parameter(settings.name, inspect.Parameter.KEYWORD_ONLY, default=settings(), annotation=settings)
        for settings in ALGORITHMS
    ]
    first_option = next(i for i, each in enumerate(parameters) if each.kind is inspect.Parameter.KEYWORD_ONLY)
    parameters[first_option:first_option] = sections
    function.__dict__["__signature__"] = inspect.Signature(parameters, return_annotation=RLModule)
    titles = [f"    {settings.name}: {str(settings.__doc__).splitlines()[0]}" for settings in ALGORITHMS]
    function.__doc__ = "\n".join([inspect.cleandoc(str(function.__doc__)), *titles])
    return function


@with_sections
def rl_module(
    child: str,
    spec: str,
    algorithm: str = ALGORITHMS[0].name,
    *,
    sampling: SamplingConfig = SamplingConfig(),  # noqa: B008 (frozen)
    lora: LoraConfig | None = None,
    val_spec: str | None = None,
    revision: str | None = None,
    gradient_checkpointing: bool = False,
    checkpoint_on_signal: bool = True,
    seed: int = 0,
    **sections: AlgorithmConfig,
) -> RLModule:
    """The module, as a config file describes it.

    Args:
        child: folder or hub id of a causal language model.
        spec: reward spec file.
        algorithm: which of the sections below counts.
        sampling: how prompts are presented and responses drawn.
        lora: train low-rank adapters instead of all weights.
        val_spec: reward spec file for validation; default: that of training.
        revision: commit of the child's hub repository.
        gradient_checkpointing: compute each layer again in the backward pass instead of keeping what it computed.
        checkpoint_on_signal: leave a checkpoint of the last whole step when a signal ends the training; steps of
            several updates then keep a copy of the trained weights and the optimizer's state in host memory.
        seed: of all randomness.
    """
    others: dict[str, AlgorithmConfig] = {settings.name: settings() for settings in ALGORITHMS} | sections
    chosen = others.pop(algorithm)
    for name, other in others.items():
        if other != type(other)():
            raise SpecError(
                f"model.{name} is set, but model.algorithm is {algorithm}; remove it, or set algorithm: {name}"
            )
    return RLModule(
        child,
        spec,
        chosen,
        sampling,
        seed,
        val_spec=val_spec,
        lora=lora,
        revision=revision,
        gradient_checkpointing=gradient_checkpointing,
        checkpoint_on_signal=checkpoint_on_signal,
    )


class TrainCLI(LightningCLI):
    """LightningCLI without subcommands, whose parser raises :class:`SpecError`."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--ckpt_path", type=str | None, default=None, help="Checkpoint to resume from.")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        assert isinstance(args, list)
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            raise SpecError(explain(str(error), known_keys(parser), str(parser.prog))) from None

    def before_instantiate_classes(self) -> None:
        check_precision(self.config.trainer.precision)
        check_strategy(self.config.trainer.strategy)
        resume = self.config.ckpt_path
        if resume is not None and not Path(resume).is_file():
            raise SpecError(f"ckpt_path: there is no file {resume}")
        if self.config.trainer.logger in (None, True):
            # Lightning's own default depends on whether tensorboard happens to be installed.
            settings = {"save_dir": str(self.config.trainer.default_root_dir or ".")}
            logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": settings}
            self.config.trainer.logger = dict_to_namespace(logger)
        if resume is not None and not zipfile.is_zipfile(resume):
            raise SpecError(f"ckpt_path: {resume} is not a checkpoint, or is cut short")

    def instantiate_trainer(self, **kwargs: object) -> Trainer:
        with in_one_sentence(*FROM_FIT, RuntimeError, anyones=True):
            trainer = super().instantiate_trainer(**kwargs)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = WholeFiles()
        return trainer


@contextlib.contextmanager
def in_one_sentence(*kinds: type[Exception], anyones: bool = False) -> Iterator[None]:
    """Errors of the given kinds that Lightning raises become a :class:`SpecError` of one line.

    Args:
        anyones: also those that others raise; without it they pass as they are.
    """
    try:
        yield
    except PgsrmError:
        raise
    except kinds as error:
        raisers = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
        if not (anyones or raisers[-1].startswith(LIGHTNING)):
            raise
        raise SpecError(f"trainer: {' '.join(str(error).split())}") from error


@contextlib.contextmanager
def saying_where_it_goes_on(trainer: Trainer, resumed: str | None) -> Iterator[None]:
    """When a signal ends the training, says which checkpoint the same run goes on from, if there is one.

    It ends the other processes of this machine as well, which Ctrl-C reaches only in a terminal.
    """
    try:
        yield
    except (Stopped, SIGTERMException) as stopped:
        written = getattr(trainer.checkpoint_callback, "last_model_path", "")
        left = getattr(trainer.lightning_module, "left_checkpoint", None)
        last = left or written or getattr(trainer.checkpoint_callback, "best_model_path", "") or resumed
        if last and trainer.is_global_zero:
            typer.echo(f"pgsrm: the step under way is dropped; `--ckpt_path {last}` goes on from there", err=True)
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGTERM)
        raise stopped if isinstance(stopped, Stopped) else Stopped(signal.SIGTERM) from None


def main(args: Sequence[str]) -> None:
    """Trains by reinforcement as the arguments say; see :func:`run`."""
    run(rl_module, PromptData, args, "pgsrm train")


def run(
    module: Callable[..., LightningModule], data: type[LightningDataModule], args: Sequence[str], program: str
) -> None:
    """Trains as the arguments say.

    Args:
        module, data: what the sections ``model`` and ``data`` describe.
        program: the command's name.

    Raises:
        SpecError: a setting is unknown or wrong, or a file is missing.
        DataError: a row of the data cannot be used.
        ScorerError: the scorer failed; training stops there.
    """
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    _check_config_files(args)
    cli = TrainCLI(
        module,
        data,
        args=list(args),
        run=False,
        seed_everything_default=False,
        auto_configure_optimizers=False,
        parser_kwargs={"exit_on_error": False, "prog": program, "allow_abbrev": False},
        save_config_kwargs={"overwrite": True},
        trainer_defaults={"devices": 1, "log_every_n_steps": 1, "max_epochs": 1},
    )
    if cli.model.policy.origin != cli.config.model.child:
        typer.echo(f"pgsrm: the child is {cli.model.policy.origin}", err=True)
    with saying_where_it_goes_on(cli.trainer, cli.config.ckpt_path), in_one_sentence(*FROM_FIT):
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=cli.config.ckpt_path)


def _check_config_files(args: Sequence[str]) -> None:
    for flag, value in itertools.zip_longest(args, args[1:], fillvalue=""):
        path = value if flag in ("--config", "-c") else flag.removeprefix("--config=") if "--config=" in flag else None
        if path is None:
            continue
        if not Path(path).is_file():
            raise SpecError(f"--config: there is no file {path}")
        try:
            yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SpecError(f"{path}: not valid YAML: {error}") from None
