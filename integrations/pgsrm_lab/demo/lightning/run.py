"""`pgsrm demo`: a tiny child learns colour mixing from its parent's answers, once with each of two rewards."""

from __future__ import annotations

import shutil
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pgsrm_lab import tiny as school
from pgsrm_lab.demo.lightning import worker
from pgsrm_lab.demo.lightning.plan import LABELS, Job, Plan, quick
from pgsrm_lab.demo.lightning.two_rewards import outcome_table, write_page
from pgsrm_lab.pool import heard, settle, workers
from pgsrm_lab.tasks import Task, colour_mixing
from pgsrm_plugin.errors import PgsrmError
from pgsrm_plugin.report import Run, read_run

FILES = ("parent", "child", "parent.jsonl", "train.jsonl", "held_out.jsonl", "report.html", *LABELS.values())
"""Everything the demo writes; only these are removed before it starts."""


def main(argv: list[str] | None = None) -> None:
    """Runs the demo with the given arguments (default: those of the command line)."""
    app = typer.Typer(add_completion=False)
    app.command(name="demo")(demo)
    app(argv, prog_name="pgsrm demo")


def demo(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for models, runs and the page.")] = Path(
        "runs/demo"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each reward.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="PPO steps of each run.")] = Plan.steps,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each.")] = 2,
    smoke: Annotated[bool, typer.Option("--quick", help="Seconds long: smaller models, few steps.")] = False,
) -> None:
    """Trains a tiny child with two rewards and writes one page that compares them. Works offline."""
    console, started = Console(), time.perf_counter()
    plan = quick(out, jobs) if smoke else Plan(out, seeds, steps, jobs)
    try:
        runs = run_demo(plan, console)
        page = write_page(plan, runs)
    except PgsrmError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False)
        raise typer.Exit(1) from None
    console.print(outcome_table(runs))
    console.print(f"{time.perf_counter() - started:.0f} s in all. The page: [bold]{page}[/]", highlight=False)


def run_demo(plan: Plan, console: Console) -> list[Run]:
    """Parent, its answers, warm start, and every run; what an earlier demo left in the folder goes first.

    Raises:
        PgsrmError: a stage or a run failed; the message says which, and no page is written.
    """
    settle()
    task = colour_mixing()
    plan.out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        _remove(plan.out / name)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    count = min(plan.jobs, plan.seeds * len(LABELS))
    with (
        Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as progress,
        workers(count) as (pool, beats),
    ):
        preparing = [pool.submit(worker.ready) for _ in range(count)]
        _teach(task, plan, progress)
        for future in preparing:
            future.result()
        return _train_all(plan, progress, pool, beats)


def _teach(task: Task, plan: Plan, progress: Progress) -> None:
    stage = progress.add_task("parent learns", total=100, note="")

    def learning(probability: float) -> None:
        progress.update(stage, completed=round(100 * probability), note=f"P(right) {probability:.2f}")

    school.make_parent(task, plan.parent, plan.out / "parent", learning)
    answers = school.ask_parent(task, plan.out / "parent", plan.out / "parent.jsonl")
    progress.update(stage, completed=100, note=f"all {len(answers)} answers right, stored")
    _say(progress, "parent: all answers right, stored")
    stage = progress.add_task("child warm start", total=round(100 * plan.warm_start), note="")
    school.warm_start(task, answers, plan.out, plan.child, plan.warm_start, learning)
    progress.update(stage, completed=round(100 * plan.warm_start))
    _say(progress, "child: warm start done")
    school.write_prompts(task, answers, plan.out)


def _train_all(plan: Plan, progress: Progress, pool: ProcessPoolExecutor, beats: Any) -> list[Run]:
    jobs = [Job(label, seed, plan) for seed in range(plan.seeds) for label in LABELS]
    stage = progress.add_task("PPO, all runs", total=len(jobs) * plan.steps, note="")
    futures = {pool.submit(worker.train, job): job for job in jobs}
    display = _Display(progress, stage, plan)
    while not _finished(futures):
        display.show(beats)
    display.show(beats)
    progress.update(stage, completed=len(jobs) * plan.steps, note="done")
    return [read_run(job.folder) for job in sorted(jobs, key=lambda job: list(LABELS).index(job.label))]


def _finished(futures: dict[Future[Job], Job]) -> bool:
    done, running = wait(futures, timeout=0.05, return_when=FIRST_EXCEPTION)
    for future in done:
        error = future.exception()
        if error is not None:
            job = futures[future]
            detail = str(error) or type(error).__name__
            raise PgsrmError(f"run {job.label}, seed {job.seed} failed: {detail}") from error
    return not running


class _Display:
    """One line for all runs together, and one for each that is running."""

    def __init__(self, progress: Progress, stage: TaskID, plan: Plan) -> None:
        self._progress, self._stage, self._plan = progress, stage, plan
        self._lines: dict[tuple[str, int], TaskID] = {}

    def show(self, beats: Any) -> None:
        """Takes in what the workers sent."""
        for beat in heard(beats):
            self._take(beat)

    def _take(self, beat: worker.Beat) -> None:
        key = (beat.label, beat.seed)
        if key not in self._lines:
            name = f"  {beat.label}, seed {beat.seed}"
            self._lines[key] = self._progress.add_task(name, total=self._plan.steps, note="")
        numbers = [("reward", beat.reward), ("accuracy", beat.accuracy)]
        note = "  ".join(f"{name} {value:.2f}" for name, value in numbers if value is not None)
        self._progress.update(self._lines[key], completed=beat.step, note=note, visible=beat.step < self._plan.steps)
        self._progress.update(self._stage, advance=1)
        if beat.step % max(1, self._plan.steps // 4) == 0:
            _say(self._progress, f"{beat.label}, seed {beat.seed}: step {beat.step} of {self._plan.steps}  {note}")


def _say(progress: Progress, text: str) -> None:
    """A plain line where there is no terminal to draw bars on."""
    if not progress.console.is_terminal:
        progress.console.print(text, highlight=False)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1:])
