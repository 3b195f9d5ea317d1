"""`pgsrm reproduce`: studies, and the pages made from their results."""

from __future__ import annotations

import dataclasses
import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from pgsrm_lab.reproduce.composition.composition import PROTOCOL, Composition
from pgsrm_lab.reproduce.guards.guards import Guards
from pgsrm_lab.reproduce.guards.protocol import QUICK, GuardsProtocol
from pgsrm_lab.reproduce.paper.arms import Update
from pgsrm_lab.reproduce.paper.grid import TINY, PaperProtocol, plan
from pgsrm_lab.reproduce.paper.pgsrm import Pgsrm
from pgsrm_lab.reproduce.semantic import explaining
from pgsrm_lab.reproduce.semantic.semantic import OWN, Semantic
from pgsrm_lab.reproduce.study import Job
from pgsrm_lightning.algorithms.ppo import PPOConfig
from pgsrm_lightning.algorithms.reinforce import ReinforceConfig
from pgsrm_plugin.cli.apps import new_app
from pgsrm_plugin.errors import PgsrmError

RUNS = Path("runs/reproduce")


class UpdateRule(str, Enum):
    """What ``--update`` takes."""

    ppo = "ppo"
    reinforce = "reinforce"


def build_app() -> typer.Typer:
    """The command with its subcommands."""
    app = new_app("Run a study, with seeds and intervals, and write what came out.")
    app.command()(pgsrm)
    app.command()(guards)
    app.command()(composition)
    app.command()(semantic)
    app.command()(page)
    return app


def main(argv: list[str] | None = None) -> None:
    """Runs the command with the given arguments (default: those of the command line)."""
    build_app()(argv, prog_name="pgsrm reproduce")


def pgsrm(
    tasks: Annotated[
        list[str] | None, typer.Option(help="Tasks, repeated or comma-separated (default: all five).")
    ] = None,
    arms: Annotated[list[str] | None, typer.Option(help="Rewards, likewise (default: see the guide).")] = None,
    update: Annotated[
        UpdateRule | None, typer.Option(help="Update rule (default: PPO, and REINFORCE beside it on two tasks).")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each reward; a seed varies warm start and sampling.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each.")] = min(os.cpu_count() or 1, 8),
    steps: Annotated[int, typer.Option(min=2, help="Update steps of each run.")] = PaperProtocol.steps,
    prompts: Annotated[int, typer.Option(min=2, help="Sampled answers of a step.")] = PaperProtocol.prompts_per_step,
    child: Annotated[str, typer.Option(help="'tiny' (made on the spot), or a causal LM's folder or hub id.")] = TINY,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate (default: 3e-4 for tiny, else the paper's 1e-5).")
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for runs, tables and the report.")] = RUNS
    / Pgsrm.name,
) -> None:
    """PGSRM against binary and other rewards on the paper's five tasks. Finished runs are not run again."""
    protocol = make_protocol(child, steps, prompts, lr)
    updates: list[Update] = [rule for rule in get_args(Update) if update is not None and rule == update.value]
    _run(plan(Pgsrm(), _listed(tasks), _listed(arms), updates, seeds, protocol, out), jobs)


def guards(
    tasks: Annotated[
        list[str] | None, typer.Option(help="Kinds of statements, repeated or comma-separated (default: all three).")
    ] = None,
    arms: Annotated[list[str] | None, typer.Option(help="Rewards, likewise (default: all).")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each reward; a seed varies warm start and sampling.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each.")] = min(os.cpu_count() or 1, 8),
    steps: Annotated[int | None, typer.Option(min=2, help="Update steps of each run (default: 18).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller child and a few steps: does it run?")] = False,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for runs, tables and the report.")] = RUNS
    / Guards.name,
) -> None:
    """Cosine, token recall, guarded rewards and binary on near-copies that are wrong. Finished runs stay."""
    protocol = QUICK if quick else GuardsProtocol()
    if steps is not None:
        protocol = dataclasses.replace(protocol, steps=steps)
    _run(Guards().plan(_listed(tasks), _listed(arms), seeds, protocol, out), jobs)


def composition(
    arms: Annotated[
        list[str] | None, typer.Option(help="Ways to compose, repeated or comma-separated (default: all).")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each way; a seed varies warm start and sampling.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each.")] = min(os.cpu_count() or 1, 8),
    steps: Annotated[int | None, typer.Option(min=2, help="Update steps of each run (default: 48).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller child and a few steps: does it run?")] = False,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for runs, tables and the report.")] = RUNS
    / Composition.name,
) -> None:
    """Three terms that pull apart, made one reward in every way. Finished runs stay."""
    protocol = QUICK if quick else PROTOCOL
    if steps is not None:
        protocol = dataclasses.replace(protocol, steps=steps)
    _run(Composition().plan([], _listed(arms), seeds, protocol, out), jobs)


def semantic(
    tasks: Annotated[
        list[str] | None,
        typer.Option(help=f"{OWN} (default), casimedicos or comve; repeated or comma-separated."),
    ] = None,
    arms: Annotated[list[str] | None, typer.Option(help="Rewards, likewise (default: all).")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each reward; a seed varies all three stages.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each.")] = min(os.cpu_count() or 1, 8),
    steps: Annotated[int | None, typer.Option(min=2, help="GRPO steps of each run (default: 24).")] = None,
    child: Annotated[
        str,
        typer.Option(help=f"'tiny' (made on the spot), or a causal LM's folder or hub id, such as {explaining.REAL}."),
    ] = explaining.TINY,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller child and a few steps: does it run?")] = False,
    given: Annotated[
        Path | None, typer.Option("--from", help="The folder with a public set's files, where there is no network.")
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for runs, tables and the report.")] = RUNS
    / Semantic.name,
) -> None:
    """Semantic GRPO whole: pre-training, fine-tuning, then GRPO on one of ten rewards. Finished runs stay."""
    protocol = explaining.for_child(explaining.QUICK if quick else explaining.ExplainingProtocol(), child)
    protocol = dataclasses.replace(protocol, steps=steps or protocol.steps, source=str(given or ""))
    _run(Semantic().plan(_listed(tasks), _listed(arms), seeds, protocol, out), jobs)


def page(
    results: Annotated[Path, typer.Argument(help="results.parquet, or the folder with it.")],
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Markdown file of the findings (default: these alone, to the terminal)."),
    ] = None,
) -> None:
    """Write a study's results as Markdown: the findings, and tables in a folder of the file's name beside it."""
    from pgsrm_lab.reproduce.studies import study_of
    from pgsrm_lab.reproduce.writing import write_pages

    study = study_of(results)
    pages = study.pages(results, study.name if out is None else out.stem)
    if out is None:
        sys.stdout.write(next(iter(pages.values())))
    else:
        write_pages(pages, out.parent)


def make_protocol(child: str, steps: int, prompts: int, lr: float | None) -> PaperProtocol:
    """The default protocol with the given changes; a child that is not tiny gets the library's PPO settings.

    Those have the paper's learning rates, KL and entropy coefficients.
    """
    protocol = PaperProtocol(child=child, steps=steps, prompts_per_step=prompts)
    if child != TINY:
        protocol = dataclasses.replace(protocol, ppo=PPOConfig(), reinforce=ReinforceConfig())
    if lr is None:
        return protocol
    return dataclasses.replace(
        protocol,
        ppo=dataclasses.replace(protocol.ppo, lr_actor=lr),
        reinforce=dataclasses.replace(protocol.reinforce, lr_actor=lr),
    )


def _run(grid: list[Job], jobs: int) -> None:
    """Runs what is not finished, and writes tables and report of all that is."""
    from pgsrm_lab.reproduce.collect import collect
    from pgsrm_lab.reproduce.run import run_grid

    console, study, out = Console(), grid[0].study, grid[0].out
    failed = run_grid(grid, jobs, console)
    if len(failed) < len(grid):
        rows = collect(grid)
        console.print(f"{len(rows)} runs. Tables and page: [bold]{study.report(out)}[/]", highlight=False)
    if failed:
        raise PgsrmError(
            f"{len(failed)} of {len(grid)} runs failed, the first: {failed[0].job.name}: {failed[0].error}; "
            "the same command tries only these again"
        )


def _listed(given: list[str] | None) -> list[str]:
    return [name.strip() for item in given or [] for name in item.split(",") if name.strip()]
