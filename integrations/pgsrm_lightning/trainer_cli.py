"""`pgsrm train`: LightningCLI over :class:`RLModule` and :class:`PromptData`, with errors of one sentence."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import warnings
import zipfile
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from pgsrm_lightning.config import GRPOConfig, LoraConfig, PPOConfig, ReinforceConfig, SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_plugin.errors import SpecError

PROGRAM = "pgsrm train"


def rl_module(
    child: str,
    spec: str,
    algorithm: Literal["ppo", "grpo", "reinforce"] = "ppo",
    ppo: PPOConfig = PPOConfig(),  # noqa: B008 (frozen)
    grpo: GRPOConfig = GRPOConfig(),  # noqa: B008
    reinforce: ReinforceConfig = ReinforceConfig(),  # noqa: B008
    sampling: SamplingConfig = SamplingConfig(),  # noqa: B008
    lora: LoraConfig | None = None,
    val_spec: str | None = None,
    revision: str | None = None,
    seed: int = 0,
) -> RLModule:
    """The module, as a config file describes it.

    Args:
        child: folder or hub id of a causal language model.
        spec: reward spec file.
        algorithm: which of the three sections below counts.
        ppo: settings of PPO.
        grpo: settings of GRPO.
        reinforce: settings of REINFORCE with a baseline, the PGSRM authors' update rule.
        sampling: how prompts are presented and responses drawn.
        lora: train low-rank adapters instead of all weights.
        val_spec: reward spec file for validation; default: that of training.
        revision: commit of the child's hub repository.
        seed: of all randomness.
    """
    sections = {"ppo": ppo, "grpo": grpo, "reinforce": reinforce}
    chosen = sections.pop(algorithm)
    for name, other in sections.items():
        if other != type(other)():
            raise SpecError(
                f"model.{name} is set, but model.algorithm is {algorithm}; remove it, or set algorithm: {name}"
            )
    return RLModule(child, spec, chosen, sampling, seed, val_spec=val_spec, lora=lora, revision=revision)


class TrainCLI(LightningCLI):
    """LightningCLI without subcommands, whose parser raises :class:`SpecError`."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--ckpt_path", type=str | None, default=None, help="Checkpoint to resume from.")

    def parse_arguments(self, parser: LightningArgumentParser, args: Sequence[str]) -> None:
        try:
            self.config = parser.parse_args(list(args))
        except ArgumentError as error:
            raise SpecError(explain(str(error), known_keys(parser))) from None

    def before_instantiate_classes(self) -> None:
        resume = self.config.ckpt_path
        if resume is not None and not Path(resume).is_file():
            raise SpecError(f"ckpt_path: there is no file {resume}")
        if self.config.trainer.logger in (None, True):
            # Lightning's own default depends on whether tensorboard happens to be installed.
            settings = Namespace(save_dir=str(self.config.trainer.default_root_dir or "."))
            logger = Namespace(class_path="lightning.pytorch.loggers.CSVLogger", init_args=settings)
            self.config.trainer.logger = logger
        if resume is not None and not zipfile.is_zipfile(resume):
            raise SpecError(f"ckpt_path: {resume} is not a checkpoint, or is cut short")


def main(args: Sequence[str]) -> None:
    """Trains as the arguments say.

    Raises:
        SpecError: a setting is unknown or wrong, or a file is missing.
        DataError: a row of the data cannot be used.
        ScorerError: the scorer failed; training stops there.
    """
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    _check_config_files(args)
    cli = TrainCLI(
        rl_module,
        PromptData,
        args=list(args),
        run=False,
        seed_everything_default=False,
        auto_configure_optimizers=False,
        parser_kwargs={"exit_on_error": False, "prog": PROGRAM},
        save_config_kwargs={"overwrite": True},
        trainer_defaults={"devices": 1, "log_every_n_steps": 1, "max_epochs": 1},
    )
    cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=cli.config.ckpt_path)


def known_keys(parser: LightningArgumentParser) -> list[str]:
    """Every key that a config file or an option may give."""
    return [action.dest for action in parser._actions]


def explain(message: str, known: Sequence[str]) -> str:
    """One sentence for a parser's message; a mistyped key comes with the nearest valid one."""
    unknown = _unknown_key(message)
    if unknown is not None:
        key, known = unknown[0], unknown[1] or known
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        return f"there is no setting {key!r}" + (
            f"; did you mean {near[0]!r}?" if near else f"; see `{PROGRAM} --help`"
        )
    bad = re.search(r'Parser key "([\w.]+)":\s', message)
    if bad is None:
        return message.splitlines()[0]
    expected = [_plain_type(kind) for kind in re.findall(r"Expected an? ([^\n]+?)(?:\. Got|\n|$)", message)]
    given = re.search(r"(?:Got value|Given value): ?([^\n]*)", message)
    shown = f", not {given[1]!r}" if given else ""
    return f"{bad[1]}: expected {' or '.join(dict.fromkeys(expected))}{shown}" if expected else message


def _unknown_key(message: str) -> tuple[str, list[str]] | None:
    """The key that a message calls unknown, and the valid ones where they belong to a class of its own."""
    option = re.search(r"unrecognized arguments: --([^\s=]+)", message)
    if option:
        return option[1], []
    group = re.search(r"Group '([\w.]+)' does not accept option '([^']+)'", message)
    if group:
        return f"{group[1]}.{group[2]}", []
    refused = re.search(r"Option '([^']+)' is not accepted", message)
    if not refused:
        return None
    parent = re.search(r'Parser key "([\w.]+)":\s', message)
    owner = re.search(r"given class_path '([\w.]+)':\s+Option", message)
    prefix = f"{parent[1]}." if parent else ""
    if owner is None:
        return prefix + refused[1], []
    return prefix + refused[1], [prefix + name for name in inspect.signature(_imported(owner[1])).parameters]


def _imported(path: str) -> type:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _plain_type(kind: str) -> str:
    literal = re.fullmatch(r"typing\.Literal\[(.*)\]", kind)
    if literal:
        return f"one of {literal[1]}"
    named = re.fullmatch(r"<class '(.*)'>", kind)
    return {"NoneType": "null"}.get(named[1], named[1]) if named else kind


def _check_config_files(args: Sequence[str]) -> None:
    for flag, value in zip(args, [*args[1:], ""], strict=True):
        path = value if flag in ("--config", "-c") else flag.removeprefix("--config=") if "--config=" in flag else None
        if path is None:
            continue
        if not Path(path).is_file():
            raise SpecError(f"--config: there is no file {path}")
        try:
            yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SpecError(f"{path}: not valid YAML: {error}") from None
