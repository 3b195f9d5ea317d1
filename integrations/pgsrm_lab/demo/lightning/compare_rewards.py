"""`pgsrm demo`: a tiny child learns colour mixing from its parent's answers, once with each of two rewards."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TaskID, TimeRemainingColumn

from pgsrm_lab.demo.child import FILES, clear_folder, prepare_child
from pgsrm_lab.demo.display import COLUMNS, NOTE, Stages, numbers_note, print_line
from pgsrm_lab.demo.lightning import training
from pgsrm_lab.demo.lightning.reward_runs import LABELS, RewardRun, RewardsPlan, quick
from pgsrm_lab.demo.lightning.two_rewards import outcome_table, write_page
from pgsrm_lab.pool import ProgressMessage, Workers, configure_process, received, workers
from pgsrm_lab.tasks import colour_mixing
from pgsrm_plugin.cli.apps import run_alone
from pgsrm_plugin.cli.tables import show_table
from pgsrm_plugin.errors import PgsrmError
from pgsrm_plugin.report import Run, read_run


def main(argv: list[str] | None = None) -> None:
    """Runs the demo with the given arguments (default: those of the command line)."""
    run_alone(demo, argv, "demo")


def demo(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for models, runs and the page.")] = Path(
        "runs/demo"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each reward.")] = RewardsPlan.seeds,
    steps: Annotated[int, typer.Option(min=1, help="PPO steps of each run.")] = RewardsPlan.steps,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each.")] = RewardsPlan.jobs,
    smoke: Annotated[bool, typer.Option("--quick", help="Seconds long: smaller models, few steps.")] = False,
) -> None:
    """Trains a tiny child with two rewards and writes one page that compares them. Works offline."""
    console, started = Console(), time.perf_counter()
    plan = quick(out, jobs) if smoke else RewardsPlan(out, steps=steps, seeds=seeds, jobs=jobs)
    try:
        runs = run_demo(plan, console)
        page = write_page(plan, runs)
    except PgsrmError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False)
        raise typer.Exit(1) from None
    show_table(outcome_table(runs), console)
    console.print(f"{time.perf_counter() - started:.0f} s in all. The page: [bold]{page}[/]", highlight=False)


def run_demo(plan: RewardsPlan, console: Console) -> list[Run]:
    """Parent, its answers, warm start, and every run; what an earlier demo left in the folder goes first.

    Raises:
        PgsrmError: a stage or a run failed; the message says which, and no page is written.
    """
    configure_process()
    clear_folder(plan.out, (*FILES, *LABELS.values()))
    count = min(plan.jobs, plan.seeds * len(LABELS))
    with (
        Progress(*COLUMNS, TimeRemainingColumn(), NOTE, console=console) as progress,
        workers(count) as pool,
    ):
        # The workers load the encoder while this process trains parent and child.
        preparing = [pool.submit(training.load_encoder) for _ in range(count)]
        prepare_child(colour_mixing(), plan, Stages(progress))
        for future in preparing:
            future.result()
        return _train_all(plan, progress, pool)


def _train_all(plan: RewardsPlan, progress: Progress, pool: Workers) -> list[Run]:
    runs = [RewardRun(label, seed, plan) for seed in range(plan.seeds) for label in LABELS]
    stage = progress.add_task("PPO, all runs", total=len(runs) * plan.steps, note="")
    futures = {pool.submit(training.train, run): run for run in runs}
    display = _RunsDisplay(progress, stage, plan.steps)
    running = True
    while running:
        running = not _finished(futures)
        display.show(pool.messages)
    progress.update(stage, completed=len(runs) * plan.steps, note="done")
    return [read_run(run.folder) for run in sorted(runs, key=lambda run: list(LABELS).index(run.label))]


def _finished(futures: dict[Future[None], RewardRun]) -> bool:
    done, running = wait(futures, timeout=0.05, return_when=FIRST_EXCEPTION)
    for future in done:
        error = future.exception()
        if error is not None:
            detail = str(error) or type(error).__name__
            raise PgsrmError(f"run {futures[future].name} failed: {detail}") from error
    return not running


class _RunsDisplay:
    """One bar for all runs together, and one for each that is running."""

    def __init__(self, progress: Progress, stage: TaskID, steps: int) -> None:
        self._progress, self._stage, self._steps = progress, stage, steps
        self._bars: dict[str, TaskID] = {}

    def show(self, messages: Queue[ProgressMessage]) -> None:
        """Takes in what the workers sent."""
        for message in received(messages):
            self._update(message)

    def _update(self, message: ProgressMessage) -> None:
        run, step = message.run, message.step
        if run not in self._bars:
            self._bars[run] = self._progress.add_task(f"  {run}", total=self._steps, note="")
        note = numbers_note(message.reward, message.accuracy)
        self._progress.update(self._bars[run], completed=step, note=note, visible=step < self._steps)
        self._progress.update(self._stage, advance=1)
        if step % max(1, self._steps // 4) == 0:
            print_line(self._progress, f"{run}: step {step} of {self._steps}  {note}")
