"""``pgsrm rehearse``: a GPU recipe run for two real steps on this machine's CPU, so that mistakes are found here.

Its algorithm, reward and data settings stay. The model becomes a tiny one of the same family with random weights, the
devices become CPU workers, the data a few of the user's own rows, and batches and lengths shrink together. Then the
real ``verl.trainer.main_ppo`` runs, with validation and a checkpoint. A recipe on top of ``sft_trainer_engine`` is
run by verl's SFT trainer.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgsrm_plugin.audit.card import Card
from pgsrm_plugin.encoders.hashing import HashingEncoderSpec
from pgsrm_plugin.errors import DataError, PgsrmError, SpecError
from pgsrm_plugin.kinds import kind_of
from pgsrm_plugin.spec import load_spec
from pgsrm_verl.cpu import cpu_environment, cpu_overrides
from pgsrm_verl.processes import run_limited, short_temp_dir
from pgsrm_verl.rehearsal import fine_tuning, scaling
from pgsrm_verl.rehearsal import standin_rows as rows
from pgsrm_verl.rehearsal.config_checks import Findings, check
from pgsrm_verl.rehearsal.outcome import Outcome, failure, read_outcome
from pgsrm_verl.rehearsal.recipe import SFT_CONFIG, Recipe, read_recipe
from pgsrm_verl.rehearsal.reward_card import Demands, asks_policy, card_of
from pgsrm_verl.rehearsal.scaling import Change, changes, sizes
from pgsrm_verl.rehearsal.standin import StandIn, find_stand_in
from pgsrm_verl.settings import Settings


class RehearsalError(PgsrmError):
    """verl itself failed, or ran out of time."""


@dataclass(frozen=True)
class Options:
    """How to rehearse.

    Attributes:
        workers: CPU processes that train.
        steps: training steps.
        time_limit: seconds for verl, after which everything is ended.
        toy_encoder: score with hashed character n-grams instead of the spec's encoder.
        keep: folder for everything that is written; None for a temporary one.
        audit_rows: training rows to audit the reward on; 0: none.
        gates: what its card must keep to, beside the recipe's own ``pgsrm.gates``.
    """

    workers: int = 2
    steps: int = 2
    time_limit: float = 300.0
    toy_encoder: bool = False
    keep: Path | None = None
    audit_rows: int = 64
    gates: Sequence[str] = ()


def rehearse(
    recipe: str,
    overrides: Sequence[str] = (),
    options: Options = Options(),
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Checks a recipe, then runs it small; whatever it started is ended when it returns or raises.

    Args:
        recipe: a YAML file on top of verl's ppo_trainer, or "ppo_trainer" itself.
        overrides: Hydra overrides.
        say: told of progress, a line at a time.

    Raises:
        SpecError: a mistake in the recipe, its settings or its reward spec.
        DataError: a mistake in its data.
        RehearsalError: verl failed; the message gives its reason and where its output is.
    """
    with _folder(options.keep) as folder:
        read, findings, stand_in = inspect(recipe, overrides)
        if read.base == SFT_CONFIG:
            return _fine_tune(read, stand_in, options, folder, say, recipe)
        demands = Demands.of(findings.settings, options.audit_rows, options.gates)
        card, no_card = _card(read, findings.settings, demands, options, folder, say)
        say(f"{read.get('actor_rollout_ref.model.path')} becomes a tiny {stand_in.note}")
        samples = _write_rows(folder, read, options.steps, stand_in)
        size = sizes(read, options.workers, max(sample.prompt_tokens for sample in samples), stand_in.own_tokenizer)
        parameters = stand_in.save(folder / "model", max(512, size.sequence))
        applied = changes(read, size, options.steps, folder)
        if findings.settings and options.toy_encoder:
            applied += _toy_specs(findings.settings, folder)
        swapped = _swapped(read, stand_in, parameters, options) | _gpu_memory(findings)
        seconds = _run_verl(read, applied, options, folder, say)
        failures = demands.failures(card) if card is not None else []
        return read_outcome(folder, recipe, seconds, swapped, applied, card, no_card, failures)


def inspect(recipe: str, overrides: Sequence[str] = ()) -> tuple[Recipe, Findings, StandIn]:
    """Everything that can be known before anything is written or started.

    Raises:
        SpecError: a mistake in the recipe, its settings or its reward spec.
        DataError: a mistake in its data.
    """
    read = read_recipe(recipe, overrides)
    if read.base == SFT_CONFIG:
        return read, Findings(), fine_tuning.check_chats(read)
    scaling.refuse(read)
    findings = check(read)
    column = _column(read)
    files = [rows.data_file(read, key) for key in ("data.train_files", "data.val_files")]
    stand_in = find_stand_in(
        read.get("actor_rollout_ref.model.path"),
        lambda: [text for path in files for text in rows.head_texts(path, column)],
        read.get("actor_rollout_ref.model.custom_chat_template"),
        bool(read.get("actor_rollout_ref.model.trust_remote_code")),
    )
    return read, findings, stand_in


def _fine_tune(
    recipe: Recipe, stand_in: StandIn, options: Options, folder: Path, say: Callable[[str], None], name: str
) -> Outcome:
    """The same of a recipe of supervised fine-tuning, whose trainer is another."""
    say(f"{recipe.get('model.path')} becomes a tiny {stand_in.note}")
    parameters = stand_in.save(folder / "model", max(512, recipe.get("data.max_length")))
    applied = fine_tuning.sft_changes(recipe, options.workers, options.steps, folder)
    applied += fine_tuning.write_chats(folder, recipe, options.steps)
    command = fine_tuning.launch(recipe, options.workers, applied, sys.executable)
    seconds = _run_command(command, options, folder, say)
    swapped = _devices(recipe, recipe.get("model.path"), stand_in, parameters, options)
    return read_outcome(folder, name, seconds, swapped, applied)


def _card(
    recipe: Recipe,
    settings: Settings | None,
    demands: Demands,
    options: Options,
    folder: Path,
    say: Callable[[str], None],
) -> tuple[Card | None, str]:
    """The card of the recipe's reward, or why there is none."""
    if settings is None:
        return None, "the reward is not this plugin's"
    if options.toy_encoder:
        return None, "the toy encoder knows no meaning"
    if not demands.rows:
        return None, "--audit-rows 0"
    if asks_policy(settings):
        why = "the reward asks the policy itself, and attacks are only words"
        if demands.limits:
            raise SpecError(f"there is no card to hold to the gates: {why}; leave the gates out")
        return None, why
    say(f"auditing the reward on {demands.rows} training rows")
    try:
        return card_of(recipe, settings, demands.rows, folder), ""
    except DataError as error:
        if demands.limits:
            raise
        return None, str(error)


def _column(recipe: Recipe) -> str:
    return recipe.get("data.prompt_key") or "prompt"


def _write_rows(folder: Path, recipe: Recipe, steps: int, stand_in: StandIn) -> list[rows.Sample]:
    train, val = (rows.data_file(recipe, key) for key in ("data.train_files", "data.val_files"))
    column = _column(recipe)
    samples = [
        rows.take(train, column, scaling.PROMPTS * steps, stand_in.prompt_tokens),
        rows.take(val, column, scaling.PROMPTS, stand_in.prompt_tokens),
    ]
    for sample, name in zip(samples, ("train.parquet", "val.parquet"), strict=True):
        rows.write(sample, folder / name)
    return samples


def _toy_specs(settings: Settings, folder: Path) -> list[Change]:
    import yaml

    applied = []
    for key, path in (("spec", settings.spec), ("val_spec", settings.val_spec)):
        if path is None:
            continue
        content: dict[str, Any] = load_spec(path).model_dump(mode="json", exclude_unset=True)
        content["encoder"] = {"kind": kind_of(HashingEncoderSpec)}
        copy = folder / f"{key}.yaml"
        copy.write_text(yaml.safe_dump(content, sort_keys=False))
        load_spec(copy)
        applied.append(Change(f"pgsrm.{key}", str(copy), "the toy encoder was asked for: rewards mean nothing"))
    return applied


def _swapped(recipe: Recipe, stand_in: StandIn, parameters: int, options: Options) -> dict[str, str]:
    return {
        **_devices(recipe, recipe.get("actor_rollout_ref.model.path"), stand_in, parameters, options),
        f"rollout by {recipe.get('actor_rollout_ref.rollout.name')}": "Hugging Face generate on the CPU",
    }


def _devices(recipe: Recipe, model: str, stand_in: StandIn, parameters: int, options: Options) -> dict[str, str]:
    gpus = recipe.get("trainer.n_gpus_per_node") * recipe.get("trainer.nnodes")
    return {
        f"model {model}": f"{stand_in.note}; {parameters:,} random parameters",
        f"{gpus} GPU{'s' * (gpus > 1)}": f"{options.workers} CPU workers, gloo, FSDP2, float32",
    }


def _gpu_memory(findings: Findings) -> dict[str, str]:
    if findings.encoder_memory is None:
        return {}
    return {"encoder on the recipe's GPUs": f"on the CPU; there it will take {findings.encoder_memory}"}


def _run_verl(
    recipe: Recipe, applied: Sequence[Change], options: Options, folder: Path, say: Callable[[str], None]
) -> float:
    with short_temp_dir() as ray_dir:
        devices = cpu_overrides(options.workers, ray_temp_dir=str(ray_dir))
        command = [sys.executable, "-m", "verl.trainer.main_ppo", *recipe.arguments(), *devices]
        command += [change.override for change in applied]
        return _run_command(command, options, folder, say)


def _run_command(command: Sequence[str], options: Options, folder: Path, say: Callable[[str], None]) -> float:
    """Runs a trainer of verl's; its seconds.

    Raises:
        SpecError: it failed for a mistake in the recipe.
        RehearsalError: it failed, or ran out of time.
    """
    finished = run_limited(
        [*command, f"hydra.run.dir={folder / 'hydra'}"],
        seconds=options.time_limit,
        environment={**cpu_environment(), "VERL_FILE_LOGGER_PATH": str(folder / "metrics.jsonl")},
        folder=Path.cwd(),
        log=folder / "verl.log",
        on_line=_Progress(say),
    )
    if finished.status == 0:
        return finished.seconds
    log = _kept_log(folder / "verl.log", options.keep)
    if finished.status is None:
        raise RehearsalError(
            f"verl was not done after {options.time_limit:.0f} s and was ended; its output is in {log} "
            "(--time-limit gives it longer)"
        )
    certain, reason = failure(finished.output)
    hint = "" if options.toy_encoder or "ncoder" not in reason else "; --toy-encoder rehearses all but the numbers"
    raise (SpecError if certain else RehearsalError)(f"{reason}{hint} (verl's output is in {log})")


class _Progress:
    """Picks out of verl's output what tells how far it is."""

    STAGES = (
        ("Started a local Ray instance", "Ray has started"),
        ("Total training steps", "verl has read the data"),
        ("step:", "a step is done"),
    )

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def __call__(self, line: str) -> None:
        for text, stage in self.STAGES:
            if text in line:
                self.say(stage)
                return


def _kept_log(log: Path, keep: Path | None) -> Path:
    """The log, somewhere that outlives a temporary folder."""
    if keep is not None:
        return log
    kept = Path(tempfile.mkdtemp(prefix="pgsrm-rehearsal-")) / log.name
    return Path(log.replace(kept)) if log.exists() else kept


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep = keep.expanduser().resolve()
        if keep.exists() and any(keep.iterdir()):
            raise SpecError(f"--keep {keep}: the folder is not empty")
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="pgsrm-rehearsal-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


__all__ = ["Options", "RehearsalError", "inspect", "rehearse"]
