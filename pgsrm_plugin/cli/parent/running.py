"""What ``pgsrm parent generate`` and ``retry-failed`` share: a run with its progress, and its end."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pgsrm_plugin.stopping import Stopped, heard

if TYPE_CHECKING:
    from pgsrm_plugin.asking.store.answers import ParentConfig, Request
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.cli.parent.options import Prices
    from pgsrm_plugin.parents.generation.progress import OnProgress, RunCounts

_QUIET_S = 30.0


@contextmanager
def showing_progress(total: int) -> Iterator[OnProgress]:
    """A bar with rate, time left and failures on a terminal; elsewhere a line now and then. Both on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    last = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("asking", total=total, rate="")

        def report(counts: RunCounts) -> None:
            nonlocal last
            done = counts.reused + counts.extracted_again + counts.asked
            progress.update(task, completed=done, rate=_rate(counts))
            if not console.is_terminal and time.monotonic() - last > _QUIET_S:
                last = time.monotonic()
                typer.echo(f"{done} of {total}, {_rate(counts)}", err=True)

        yield report


def _rate(counts: RunCounts) -> str:
    failures = sum(count for status, count in counts.by_status.items() if status != "ok")
    each = counts.asked / counts.seconds if counts.seconds else 0.0
    return f"{each:.1f}/s" + (f", {failures} without a reference" if failures else "")


def run(
    folder: Path,
    config: ParentConfig,
    settings: Mapping[str, Any],
    wanted: Iterable[Request],
    total: int,
    *,
    deadline: float | None = None,
    retry: Collection[str] = (),
) -> RunCounts:
    """Asks what the store lacks, with progress; the store is locked for as long."""
    from pgsrm_plugin.asking.engines import build_engine
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.parents.generation.generate import generate
    from pgsrm_plugin.parents.generation.progress import RunLimits
    from pgsrm_plugin.parents.generation.runs import keep_run

    engine = build_engine(config, **settings)
    with ParentStore.open(folder, create=True) as store, showing_progress(total) as report:
        for sentence in store.notes:
            typer.echo(sentence, err=True)
        keep_run(folder, config, settings)
        limits = dataclasses.replace(RunLimits(), deadline_s=deadline)
        return generate(wanted, engine, store, limits=limits, retry=retry, on_progress=report)


def summarise(counts: RunCounts, prices: Prices = (None, None)) -> None:
    """What a run did, in a few lines on standard output."""
    reused = f", {counts.reused} were in the store" if counts.reused else ""
    again = f", {counts.extracted_again} extracted anew" if counts.extracted_again else ""
    per_s = f" ({counts.asked / counts.seconds:.1f}/s)" if counts.seconds and counts.asked else ""
    retries = f" in {counts.attempts} attempts" if counts.attempts > counts.asked else ""
    typer.echo(f"{counts.asked} asked{retries} in {counts.seconds:.1f} s{per_s}{reused}{again}")
    typer.echo(f"tokens: {counts.prompt_tokens} of prompts, {counts.completion_tokens} of answers")
    if prices != (None, None):
        price_in, price_out = (price or 0.0 for price in prices)
        typer.echo(f"cost: {(counts.prompt_tokens * price_in + counts.completion_tokens * price_out) / 1e6:.4g}")


PERMANENT = "failed for good"
"""Of failed calls: those that would fail the same again."""
REMEDIES = {
    "failed": "the call failed; ask again with `pgsrm parent retry-failed {store}`",
    PERMANENT: "asked again, the same call would fail the same; mend what it says and generate again",
    "refused": "the parent declined; see `pgsrm parent show {store} --status refused`",
    "empty": "blank, or nothing but thinking; see `pgsrm parent show {store} --status empty`",
    "truncated": "cut at max_tokens; generate with a larger --max-tokens",
    "unextracted": "no reference in the answer; generate with another --extract, which asks nothing anew",
}
_QUOTED = ("failed", PERMANENT, "empty")
_WORDS = 3


@dataclasses.dataclass
class Fates:
    """What became of the answers that were wanted.

    Attributes:
        counts: how many have which status; ``missing`` are those that the store lacks.
        words: of failures, how many say what.
    """

    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    words: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)

    def add(self, store: ParentStore, key: str) -> None:
        """Counts the answer under a key."""
        status: str = store.status(key) or "missing"
        if status in _QUOTED and (answer := store.get(key)) is not None:
            status = PERMANENT if answer.permanent else status
            self.words.setdefault(status, Counter())[answer.error or ""] += 1
        self.counts[status] += 1


def tell(folder: Path, fates: Fates) -> bool:
    """Says what failed and what to do, on standard error; returns whether every answer that was had is a reference."""
    store, counts = shlex.quote(str(folder)), fates.counts
    for status, remedy in REMEDIES.items():
        if counts[status]:
            typer.echo(f"{counts[status]} {status}: {remedy.format(store=store)}", err=True)
            for words, count in fates.words.get(status, Counter()).most_common(_WORDS):
                typer.echo(f"  {count} x {words}", err=True)
    return not any(counts[status] for status in REMEDIES)


def finish(folder: Path, fates: Fates, stopped: str | None) -> None:
    """Ends the command: status 0 where every answer wanted has a reference, else 1 with what happened and what to do.

    After a signal the status is that of every command.

    Raises:
        typer.Exit: always, but after a signal.
        Stopped: after a signal.
    """
    well, missing = tell(folder, fates), fates.counts["missing"]
    if missing:
        why = {"interrupted": "interrupted", "deadline": "the deadline passed"}.get(stopped or "", "stopped")
        typer.echo(f"{missing} not asked yet ({why}); the same command goes on where it was", err=True)
    if stopped == "interrupted" and (number := heard()) is not None:
        raise Stopped(number)
    raise typer.Exit(0 if well and not missing else 1)
