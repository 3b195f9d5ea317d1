"""`pgsrm demo-verl`: the colour task's child learns with verl on this CPU, beside Lightning; one page compares."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from pgsrm_lab.demo.child import FILES, SETS, clear_folder, prepare_child
from pgsrm_lab.demo.display import COLUMNS, NOTE, Stages
from pgsrm_lab.demo.verl import backends
from pgsrm_lab.demo.verl.trainer_settings import LIGHTNING, VERL, TrainersPlan
from pgsrm_lab.demo.verl.two_trainers import outcome_table, write_page
from pgsrm_lab.pool import configure_process
from pgsrm_lab.tasks import Task, colour_mixing
from pgsrm_plugin.cli.apps import run_alone
from pgsrm_plugin.cli.tables import show_table
from pgsrm_plugin.report import Run


def main(arguments: list[str]) -> None:
    """Runs the command with the given arguments."""
    run_alone(demo, arguments, "demo-verl")


def demo(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for models, runs and the page.")] = Path(
        "runs/demo-verl"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = TrainersPlan.steps,
    workers: Annotated[
        int, typer.Option(min=1, max=8, help="CPU processes that verl trains with.")
    ] = TrainersPlan.workers,
    time_limit: Annotated[
        float, typer.Option(min=1, help="Seconds until a run is ended with all that it started.")
    ] = TrainersPlan.time_limit,
) -> None:
    """Trains a tiny child with the real verl on this CPU, and with Lightning, and writes one page. Works offline."""
    console, started = Console(), time.perf_counter()
    plan = TrainersPlan(out.expanduser().resolve(), steps=steps, workers=workers, time_limit=time_limit)
    task = colour_mixing()
    runs = run_demo(plan, task, console)
    write_page(plan, task, runs)
    show_table(outcome_table(runs), console)
    took = time.perf_counter() - started
    console.print(f"{took:.0f} s in all. The page: [bold]{out / 'report.html'}[/]", highlight=False)


def run_demo(plan: TrainersPlan, task: Task, console: Console) -> list[Run]:
    """Parent, its answers, warm start, both runs; what an earlier demo left in the folder goes first.

    Raises:
        PgsrmError: a stage or a run failed, and no page is written.
    """
    configure_process()
    clear_folder(plan.out, (*FILES, "verl", "lightning", *(f"{name}.parquet" for name in SETS)))
    with Progress(*COLUMNS, TimeElapsedColumn(), NOTE, console=console) as progress:
        stages = Stages(progress)
        answers = prepare_child(task, plan, stages)
        backends.write_parquet(task, answers, plan.out)
        backends.fit_for_verl(plan.out / "child")
        stages.begin(LIGHTNING, plan.steps)
        lightning = backends.run_lightning(plan, stages.steps)
        stages.begin(VERL, plan.steps)
        verl = backends.run_verl(plan, task, stages.steps, stages.note)
    return [verl, lightning]
