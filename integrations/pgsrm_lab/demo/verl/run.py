"""`pgsrm demo-verl`: the colour task's child learns with verl on this CPU, beside Lightning; one page compares."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pgsrm_lab import tiny as school
from pgsrm_lab.demo.verl import sides
from pgsrm_lab.demo.verl.metrics import Points
from pgsrm_lab.demo.verl.plan import LIGHTNING, SETS, VERL, Plan
from pgsrm_lab.demo.verl.two_trainers import outcome_table, write_page
from pgsrm_lab.tasks import Task, colour_mixing
from pgsrm_plugin.report import Run
from pgsrm_verl.processes import terminate_like_interrupt

FILES = (
    *("parent", "child", "parent.jsonl", "report.html", "verl", "lightning"),
    *(f"{name}.{kind}" for name in SETS for kind in ("jsonl", "parquet")),
)
"""Everything the demo writes; only these are removed before it starts."""


def main(arguments: list[str]) -> None:
    """Runs the command with the given arguments."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(name="demo-verl")(demo)
    app(arguments, prog_name="pgsrm demo-verl")


def demo(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for models, runs and the page.")] = Path(
        "runs/demo-verl"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = Plan.steps,
    workers: Annotated[int, typer.Option(min=1, max=8, help="CPU processes that verl trains with.")] = Plan.workers,
    time_limit: Annotated[
        float, typer.Option(min=1, help="Seconds until a run is ended with all that it started.")
    ] = Plan.time_limit,
) -> None:
    """Trains a tiny child with the real verl on this CPU, and with Lightning, and writes one page. Works offline."""
    console, started = Console(), time.perf_counter()
    plan = Plan(out.expanduser().resolve(), steps, workers, time_limit)
    task = colour_mixing()
    try:
        with terminate_like_interrupt():
            runs = run_demo(plan, task, console)
    except KeyboardInterrupt:
        typer.echo("pgsrm: interrupted; everything that was started has been ended", err=True)
        raise typer.Exit(130) from None
    write_page(plan, task, runs)
    console.print(outcome_table(runs))
    took = time.perf_counter() - started
    console.print(f"{took:.0f} s in all. The page: [bold]{out / 'report.html'}[/]", highlight=False)


def run_demo(plan: Plan, task: Task, console: Console) -> list[Run]:
    """Parent, its answers, warm start, both runs; what an earlier demo left in the folder goes first.

    Raises:
        PgsrmError: a stage or a run failed, and no page is written.
    """
    _settle()
    plan.out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        _remove(plan.out / name)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as progress:
        stages = Stages(progress)
        _teach(task, plan, stages)
        stages.begin(LIGHTNING, plan.steps)
        lightning = sides.run_lightning(plan, stages.steps)
        stages.begin(VERL, plan.steps)
        verl = sides.run_verl(plan, task, stages.steps, stages.note)
    return [verl, lightning]


class Stages:
    """One bar a stage; where there is no terminal, a line every so often."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._name, self._total, self._said = "", 0, 0

    def begin(self, name: str, total: int) -> None:
        """Starts the next stage."""
        self._name, self._total, self._said = name, total, 0
        self._task = self._progress.add_task(name, total=total, note="starting")
        self._say("starts")

    def note(self, text: str) -> None:
        """A word on what happens."""
        self._progress.update(self._task, note=text)
        self._say(text)

    def learning(self, probability: float) -> None:
        """A supervised run's progress."""
        self._progress.update(
            self._task, completed=round(100 * min(probability, self._total / 100)), note=f"P(right) {probability:.2f}"
        )

    def steps(self, points: Points) -> None:
        """A training run's numbers so far."""
        done = 1 + max((step for step, values in points.items() if "train/reward" in values), default=-1)
        latest: dict[str, float] = {}
        for step in sorted(points):
            latest |= points[step]
        names = {"reward": "train/reward", "accuracy": "val/train/accuracy"}
        note = "  ".join(f"{name} {latest[key]:.2f}" for name, key in names.items() if key in latest)
        if note:
            self._progress.update(self._task, completed=done, note=note)
        if done > self._said and (done // 10 > self._said // 10 or done == self._total):
            self._said = done
            self._say(f"step {done} of {self._total}  {note}")

    def _say(self, text: str) -> None:
        if not self._progress.console.is_terminal:
            self._progress.console.print(f"{self._name}: {text}", highlight=False)


def _teach(task: Task, plan: Plan, stages: Stages) -> None:
    stages.begin("parent learns", 100)
    school.make_parent(task, plan.size, plan.out / "parent", stages.learning)
    answers = school.ask_parent(task, plan.out / "parent", plan.out / "parent.jsonl")
    stages.note(f"all {len(answers)} answers right, stored")
    stages.begin("child warm start", round(100 * plan.warm_start))
    school.warm_start(task, answers, plan.out, plan.size, plan.warm_start, stages.learning)
    stages.note("done")
    school.write_prompts(task, answers, plan.out)
    sides.write_parquet(task, answers, plan.out)
    sides.fit_for_verl(plan.out / "child")


def _settle() -> None:
    """One thread, which is fastest for models this small; no library writes between the lines of the display."""
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
