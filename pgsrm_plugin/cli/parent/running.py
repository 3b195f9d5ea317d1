"""What ``pgsrm parent generate`` and ``retry-failed`` share: settings from options, a run, its end."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pgsrm_plugin.errors import SpecError

if TYPE_CHECKING:
    from pgsrm_plugin.parents.asking.plan import Plan
    from pgsrm_plugin.parents.asking.progress import OnProgress, Tally
    from pgsrm_plugin.parents.store.answers import ParentConfig, Request

_QUIET_S = 30.0


@dataclass(frozen=True)
class EngineOptions:
    """How the parent runs, as far as the command line says so."""

    base_url: str | None = None
    api_key_env: str | None = None
    concurrency: int | None = None
    arguments: tuple[str, ...] = ()

    def settings(self, engine: str) -> dict[str, Any]:
        """Fields of the engine's settings.

        Raises:
            SpecError: an option is for another engine, or an argument is not key=value.
        """
        given = key_values(self.arguments, "--engine-arg")
        for name in ("base_url", "api_key_env"):
            value = getattr(self, name)
            if value is not None and engine != "openai":
                raise SpecError(f"--{name.replace('_', '-')} is for --engine openai, not {engine}")
            given |= {name: value} if value is not None else {}
        if self.concurrency is not None:
            given["concurrency" if engine == "openai" else "batch_size"] = self.concurrency
        if engine != "vllm":
            return given
        own = {name: given.pop(name) for name in ("batch_size",) if name in given}
        return {**own, "engine_args": given} if given else own


def key_values(arguments: Sequence[str], option: str) -> dict[str, Any]:
    """``key=value`` arguments; values are read as YAML, so that numbers are numbers.

    Raises:
        SpecError: one is not of this form.
    """
    import yaml

    found = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name:
            raise SpecError(f"{option} {argument!r} is not key=value, e.g. tensor_parallel_size=2")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            found[name.strip()] = value
    return found


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

        def report(tally: Tally) -> None:
            nonlocal last
            done = tally.reused + tally.extracted_again + tally.asked
            progress.update(task, completed=done, rate=_rate(tally))
            if not console.is_terminal and time.monotonic() - last > _QUIET_S:
                last = time.monotonic()
                typer.echo(f"{done} of {total}, {_rate(tally)}", err=True)

        yield report


def _rate(tally: Tally) -> str:
    failures = sum(count for status, count in tally.by_status.items() if status != "ok")
    each = tally.asked / tally.seconds if tally.seconds else 0.0
    return f"{each:.1f}/s" + (f", {failures} without a reference" if failures else "")


def show_plan(plan: Plan, price_in: float | None, price_out: float | None) -> None:
    """The account of a dry run."""
    for number, text in enumerate(plan.rendered, 1):
        typer.echo(f"--- prompt {number}, as the parent reads it ---\n{text}")
    typer.echo("---")
    known = [f"{plan.known} are in the store"] if plan.known else []
    known += [f"{plan.failed} failed before (`pgsrm parent retry-failed`)"] if plan.failed else []
    known += [f"{plan.extracted_again} only need another extraction"] if plan.extracted_again else []
    typer.echo(
        f"{plan.prompts} distinct prompts, {plan.answers} answers wanted"
        + (f", of which {', '.join(known)}" if known else "")
    )
    typer.echo(f"calls             {plan.calls}")
    typer.echo(f"prompt tokens     {plan.prompt_tokens} ({plan.counted})")
    likely = f", about {plan.likely_tokens} by the store's answers so far" if plan.likely_tokens is not None else ""
    typer.echo(f"answer tokens     at most {plan.most_tokens}{likely}")
    if price_in is None and price_out is None:
        typer.echo("cost              give --price-in and --price-out, per million tokens")
        return
    most, guess = plan.cost(price_in or 0.0, price_out or 0.0)
    typer.echo(f"cost              at most {most:.4g}" + (f", about {guess:.4g}" if guess is not None else ""))


def run(
    folder: Path,
    config: ParentConfig,
    settings: Mapping[str, Any],
    wanted: Sequence[Request] | Any,
    total: int,
    *,
    deadline: float | None = None,
    retry: Collection[str] = (),
) -> Tally:
    """Asks what the store lacks, with progress; the store is locked for as long."""
    from pgsrm_plugin.parents.asking.generate import generate
    from pgsrm_plugin.parents.asking.progress import Limits
    from pgsrm_plugin.parents.asking.runs import keep_run
    from pgsrm_plugin.parents.engines import build_engine
    from pgsrm_plugin.parents.store.store import ParentStore

    engine = build_engine(config, **settings)
    with ParentStore.open(folder, create=True) as store, showing_progress(total) as report:
        for sentence in store.notes:
            typer.echo(sentence, err=True)
        keep_run(folder, config, settings)
        limits = dataclasses.replace(Limits(), deadline_s=deadline)
        return generate(wanted, engine, store, limits=limits, retry=retry, on_progress=report)


def summarise(tally: Tally, prices: tuple[float | None, float | None] = (None, None)) -> None:
    """What a run did, in a few lines on standard output."""
    reused = f", {tally.reused} were in the store" if tally.reused else ""
    again = f", {tally.extracted_again} extracted anew" if tally.extracted_again else ""
    per_s = f" ({tally.asked / tally.seconds:.1f}/s)" if tally.seconds and tally.asked else ""
    retries = f" in {tally.attempts} attempts" if tally.attempts > tally.asked else ""
    typer.echo(f"{tally.asked} asked{retries} in {tally.seconds:.1f} s{per_s}{reused}{again}")
    typer.echo(f"tokens: {tally.prompt_tokens} of prompts, {tally.completion_tokens} of answers")
    if prices != (None, None):
        price_in, price_out = (price or 0.0 for price in prices)
        typer.echo(f"cost: {(tally.prompt_tokens * price_in + tally.completion_tokens * price_out) / 1e6:.4g}")


REMEDIES = {
    "failed": "the call failed; ask again with `pgsrm parent retry-failed {store}`",
    "refused": "the parent declined; see `pgsrm parent show {store} --status refused`",
    "empty": "a blank answer; ask again with `pgsrm parent retry-failed {store} --status empty`",
    "truncated": "cut at max_tokens; generate with a larger --max-tokens",
    "unextracted": "no reference in the answer; generate with another --extract, which asks nothing anew",
}


def finish(folder: Path, counts: Mapping[str, int], missing: int, stopped: str | None) -> None:
    """Ends the command: status 0 where every answer wanted has a reference, else 1 with what to do.

    Raises:
        typer.Exit: always.
    """
    store = shlex.quote(str(folder))
    for status, remedy in REMEDIES.items():
        if counts.get(status):
            typer.echo(f"{counts[status]} {status}: {remedy.format(store=store)}", err=True)
    if missing:
        why = {"interrupted": "interrupted", "deadline": "the deadline passed"}.get(stopped or "", "stopped")
        typer.echo(f"{missing} not asked yet ({why}); the same command goes on where it was", err=True)
    raise typer.Exit(1 if missing or any(counts.get(status) for status in REMEDIES) else 0)
