"""`pgsrm rehearse`: the command line of :mod:`pgsrm_verl.rehearsal.rehearse`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from pgsrm_plugin.cli.apps import run_alone
from pgsrm_plugin.errors import PgsrmError


def main(arguments: list[str]) -> None:
    """Runs the command with the given arguments."""
    run_alone(rehearse, arguments, "rehearse")


def rehearse(
    recipe: Annotated[
        str, typer.Argument(help="A YAML file on top of verl's ppo_trainer or sft_trainer_engine, or one of these.")
    ],
    overrides: Annotated[list[str] | None, typer.Argument(help="Hydra overrides: key=value, +key=value.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=8, help="CPU processes that train.")] = 2,
    steps: Annotated[int, typer.Option(min=1, max=20, help="Training steps.")] = 2,
    time_limit: Annotated[float, typer.Option(min=1, help="Seconds until everything is ended.")] = 300.0,
    toy_encoder: Annotated[
        bool,
        typer.Option("--toy-encoder", help="Score with a toy instead of the spec's encoder; numbers mean nothing."),
    ] = False,
    audit_rows: Annotated[
        int, typer.Option(min=0, help="Training rows to attack for the reward's card; 0: no card.")
    ] = 64,
    gate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="What the card must keep to, beside pgsrm.gates; repeatable."),
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="Only check recipe, spec and data; do not train.")
    ] = False,
    keep: Annotated[Path | None, typer.Option(file_okay=False, help="Keep everything written in this folder.")] = None,
    json: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the outcome to this file too.")] = None,
) -> None:
    """Runs a verl GPU recipe small, on this CPU, and shows rewards, rollouts, timings, swaps and the reward's card.

    Exits with 2 for a mistake in recipe, spec or data, with 1 if verl fails or takes too long, or a gate does not hold.
    """
    from rich.console import Console

    require("pgsrm rehearse", {"verl": "verl", "ray": "verl", "hydra": "verl"})
    from pgsrm_verl.rehearsal import rehearse as rehearsal
    from pgsrm_verl.rehearsal.outcome import show

    if check_only:
        rehearsal.inspect(recipe, overrides or ())
        typer.echo(f"{recipe}: no mistake found")
        return
    options = rehearsal.Options(workers, steps, time_limit, toy_encoder, keep, audit_rows, gate or ())
    progress = Console(stderr=True)
    with progress.status("rehearsing"):
        outcome = rehearsal.rehearse(recipe, overrides or (), options, progress.log if sys.stderr.isatty() else _say)
    show(outcome, Console())
    if json is not None:
        outcome.write_json(json)
    for failure in outcome.gate_failures:
        _say(f"pgsrm: {failure}")
    if outcome.gate_failures:
        raise typer.Exit(1)


def require(command: str, extras: Mapping[str, str]) -> None:
    """Raises PgsrmError, naming what to install, where a module that a command needs is missing.

    Args:
        extras: the extra of pgsrm-plugin that brings each module.
    """
    missing = [name for name in extras if find_spec(name) is None]
    if missing:
        raise PgsrmError(
            f"`{command}` cannot start: the module {missing[0]!r} is not installed; install it with "
            f"`pip install 'pgsrm-plugin[{','.join(dict.fromkeys(extras.values()))}]'`"
        )


def _say(line: str) -> None:
    typer.echo(line, err=True)
