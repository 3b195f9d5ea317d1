"""`pgsrm reproduce`: studies, and the pages made from their results."""

from __future__ import annotations

import dataclasses
import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pgsrm_lab.reproduce.composition.composition import PROTOCOL, Composition
from pgsrm_lab.reproduce.credit.credit import CreditStudy, protocols
from pgsrm_lab.reproduce.guards.guards import Guards
from pgsrm_lab.reproduce.guards.protocol import QUICK, GuardsProtocol
from pgsrm_lab.reproduce.paper.grid import PaperProtocol, plan
from pgsrm_lab.reproduce.paper.pgsrm import Pgsrm
from pgsrm_lab.reproduce.real import chat_protocol as chat
from pgsrm_lab.reproduce.real.chat_child import admitted
from pgsrm_lab.reproduce.real.pretrained_child import PretrainedChild
from pgsrm_lab.reproduce.semantic import explaining
from pgsrm_lab.reproduce.semantic.semantic import OWN, Semantic
from pgsrm_lab.reproduce.study import Job
from pgsrm_lab.stages import FLOAT32
from pgsrm_plugin.cli.apps import new_app
from pgsrm_plugin.errors import PgsrmError

RUNS = Path("runs/reproduce")
TINY = "tiny"


class UpdateRule(str, Enum):
    """What ``--update`` takes."""

    grpo = "grpo"
    ppo = "ppo"
    reinforce = "reinforce"


class Precision(str, Enum):
    """What ``--precision`` takes: Lightning's names."""

    float32 = FLOAT32
    bfloat16 = "bf16-mixed"


def build_app() -> typer.Typer:
    """The command with its subcommands."""
    app = new_app("Run a study, with seeds and intervals, and write what came out.")
    app.command()(pgsrm)
    app.command()(guards)
    app.command()(composition)
    app.command()(semantic)
    app.command()(credit)
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
        UpdateRule | None,
        typer.Option(
            help="Update rule (default: PPO, and REINFORCE on two tasks; with a pretrained child GRPO and PPO)."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each reward; a seed varies warm start and sampling.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each.")] = min(os.cpu_count() or 1, 8),
    steps: Annotated[int | None, typer.Option(min=2, help="Update steps of each run (default: 30; 20).")] = None,
    prompts: Annotated[
        int | None, typer.Option(min=2, help="Prompts of a step (default: 256; 6, each answered 8 times).")
    ] = None,
    child: Annotated[
        str,
        typer.Option(help="'tiny' (made on the spot), 'smollm2', or the folder or hub id of a causal LM that chats."),
    ] = TINY,
    lr: Annotated[float | None, typer.Option(help="Learning rate (default: 3e-4; 3e-5).")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help=f"Folder for runs, tables and report (default: {RUNS / Pgsrm.name}; {RUNS / PretrainedChild.name}).",
        ),
    ] = None,
) -> None:
    """PGSRM against binary and other rewards on the paper's five tasks. Finished runs are not run again.

    With a pretrained child it is a study of its own: chat prompts, no warm start, answers read from sentences. Where
    two defaults are given, the second is that study's.
    """
    chosen = (_listed(tasks), _listed(arms), [] if update is None else [update.value], seeds)
    shape: dict[str, Any] = {name: n for name, n in (("steps", steps), ("prompts_per_step", prompts)) if n is not None}
    if child == TINY:
        tiny = dataclasses.replace(PaperProtocol(), **shape).with_lr(lr)
        _run(plan(Pgsrm(), *chosen, tiny, out or RUNS / Pgsrm.name), jobs)
        return
    study = PretrainedChild()
    study.check(*chosen[:3])
    protocol = dataclasses.replace(chat.ChatProtocol(), child=child, **shape).with_lr(lr)
    grid = chat.plan(study, *chosen, admitted(protocol, chosen[0] or list(study.tasks)), out or RUNS / study.name)
    _run(grid, jobs)


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
        typer.Option(help="'tiny' (made on the spot), 'smollm2', or the folder or hub id of a causal LM that chats."),
    ] = explaining.TINY,
    precision: Annotated[
        Precision,
        typer.Option(
            help="Of a child that is not tiny; bf16-mixed where the GPU or CPU computes in it, it is slower elsewhere."
        ),
    ] = Precision.float32,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller child and a few steps: does it run?")] = False,
    given: Annotated[
        Path | None, typer.Option("--from", help="The folder with a public set's files, where there is no network.")
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for runs, tables and the report.")] = RUNS
    / Semantic.name,
) -> None:
    """Semantic GRPO whole: pre-training, fine-tuning, then GRPO on one of ten rewards. Finished runs stay."""
    base = explaining.QUICK if quick else explaining.ExplainingProtocol()
    protocol = explaining.for_child(base, chat.SHORT.get(child, child), precision.value)
    protocol = dataclasses.replace(protocol, steps=steps or protocol.steps, source=str(given or ""))
    _run(Semantic().plan(_listed(tasks), _listed(arms), seeds, protocol, out), jobs)


def credit(
    tasks: Annotated[
        list[str] | None, typer.Option(help="passages, explanations; repeated or comma-separated (default: both).")
    ] = None,
    arms: Annotated[list[str] | None, typer.Option(help="Rewards, likewise (default: all of the tasks').")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each reward; a seed varies warm start and sampling.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each.")] = min(os.cpu_count() or 1, 8),
    steps: Annotated[int | None, typer.Option(min=2, help="GRPO steps of each run (default: 20; 24).")] = None,
    child: Annotated[
        str,
        typer.Option(help="Of the explanations: 'tiny', 'smollm2', or the folder or hub id of a causal LM that chats."),
    ] = explaining.TINY,
    quick: Annotated[bool, typer.Option("--quick", help="A smaller child and a few steps: does it run?")] = False,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for runs, tables and the report.")] = RUNS
    / CreditStudy.name,
) -> None:
    """Each token credit on long explanations with a wrong sentence, and likelihood as a reward. Finished runs stay.

    Where two defaults are given, the second is the explanations'.
    """
    settings = protocols(chat.SHORT.get(child, child), quick)
    if steps is not None:
        settings = {task: dataclasses.replace(protocol, steps=steps) for task, protocol in settings.items()}
    _run(CreditStudy().plan(_listed(tasks), _listed(arms), seeds, settings, out), jobs)


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
