"""The grid: warm starts, then runs, over a pool of processes; what is finished is not run again."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pgsrm_lab.pool import Workers, configure_process, received, workers
from pgsrm_lab.reproduce import worker
from pgsrm_lab.reproduce.files import is_finished
from pgsrm_lab.reproduce.study import Job
from pgsrm_lab.reproduce.worker import Outcome
from pgsrm_plugin.cli import DEBUG

MOST_KILLED = 2
"""How often a run may be lost with a process that is killed before it counts as failed."""
KILLED = "its worker process was killed, twice (out of memory?); run the command again to go on"


def run_grid(jobs: Sequence[Job], processes: int, console: Console) -> list[Outcome]:
    """Runs every job that is not finished; the outcomes of those that failed.

    A job that fails does not stop the others, nor does a process that is killed: what was under way in it is tried once
    more. A failed job's folder keeps no trace of it, so the next call tries it again.
    """
    configure_process()
    todo = [job for job in jobs if not is_finished(job)]
    console.print(f"{len(jobs)} runs, {len(jobs) - len(todo)} of them finished before", highlight=False)
    if not todo:
        return []
    for half_made in todo[0].out.glob("warm/.*"):
        shutil.rmtree(half_made, ignore_errors=True)
    first = {job.warm_start: job for job in reversed(todo)}
    missing = [job for folder, job in first.items() if not folder.is_dir()]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress, workers(min(processes, len(todo))) as pool:
        follow = _Follower(progress, pool)
        unready = follow("warm starts", list(reversed(missing)), worker.attempt_prepare, steps=1) if missing else []
        broken = {outcome.job.warm_start: outcome for outcome in unready}
        ready = [job for job in todo if job.warm_start not in broken]
        failed = follow("runs", ready, worker.attempt_run, steps=todo[0].protocol.steps) if ready else []
    return failed + [
        Outcome(job, f"its warm start failed: {broken[job.warm_start].error}", broken[job.warm_start].trace)
        for job in todo
        if job.warm_start in broken
    ]


class _Follower:
    """Submits jobs and shows how they get on until all have ended."""

    def __init__(self, progress: Progress, pool: Workers) -> None:
        self._progress, self._pool = progress, pool

    def __call__(self, what: str, jobs: Sequence[Job], work: Callable[[Job], Outcome], steps: int) -> list[Outcome]:
        """The outcomes that are failures."""
        bar = self._progress.add_task(what, total=len(jobs) * steps, note="")
        futures: dict[Future[Outcome], Job] = {self._pool.submit(work, job): job for job in jobs}
        at, killed, failed = Counter[str](), Counter[str](), list[Outcome]()
        started = time.monotonic()
        while futures:
            done = wait(futures, timeout=0.1, return_when=FIRST_COMPLETED).done
            for message in received(self._pool.messages):
                at[message.run] = message.step
            if any(map(_was_killed, done)):
                done = wait(futures).done  # a process that is killed takes all of the pool with it
            ended = [(future, futures.pop(future)) for future in done]
            lost = [job for future, job in ended if _was_killed(future)]
            killed.update(job.name for job in [job for job in lost if at[job.name]] or lost)
            for future, job in ended:
                if job in lost and killed[job.name] < MOST_KILLED:
                    futures[self._pool.submit(work, job)] = job
                    at[job.name] = 0
                    continue
                outcome = Outcome(job, KILLED) if job in lost else future.result()
                at[job.name] = steps
                failed += [outcome] if outcome.error else []
                self._say(outcome, len(jobs) - len(futures), len(jobs), time.monotonic() - started)
            note = f"{len(jobs) - len(futures)} of {len(jobs)} done" + (f", {len(failed)} failed" if failed else "")
            self._progress.update(bar, completed=sum(at.values()), note=note)
        return failed

    def _say(self, outcome: Outcome, ended: int, total: int, seconds: float) -> None:
        """A plain line where there is no terminal to draw bars on; a failure always gets one."""
        if outcome.error:
            self._progress.console.print(
                f"[red]failed:[/] {outcome.job.name}: {escape(outcome.error)}", highlight=False
            )
            if os.environ.get(DEBUG) == "1":
                self._progress.console.print(escape(outcome.trace), highlight=False)
        elif not self._progress.console.is_terminal:
            left = seconds / ended * (total - ended)
            self._progress.console.print(
                f"{ended} of {total}  {outcome.job.name}  {seconds:.0f} s, about {left:.0f} s left", highlight=False
            )


def _was_killed(future: Future[Outcome]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)
