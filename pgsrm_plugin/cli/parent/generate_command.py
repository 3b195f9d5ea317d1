"""``pgsrm parent generate``: asks a parent what its store lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import typer

from pgsrm_plugin.cli.apps import takes
from pgsrm_plugin.cli.parent.options import GenerateOptions, Prices

if TYPE_CHECKING:
    from pgsrm_plugin.asking.store.answers import ParentConfig
    from pgsrm_plugin.parents.generation.plan import Plan
    from pgsrm_plugin.parents.generation.progress import RunCounts
    from pgsrm_plugin.parents.generation.prompts import PromptRow


@takes(GenerateOptions)
def generate(options: GenerateOptions) -> None:
    """Ask a parent for reference answers and keep each the moment it is there; the same command resumes.

    Exit status 1: some answers have no reference, and standard error says what to do; 2: a setting or a row is wrong;
    3: the parent as a whole failed.
    """
    config, settings = options.config(), options.engine_settings()
    if options.dry_run:
        show_plan(make_plan_of(options, config), options.prices)
    else:
        _generate(options, config, settings)


def make_plan_of(options: GenerateOptions, config: ParentConfig, rows: Iterable[PromptRow] | None = None) -> Plan:
    """What a run would ask."""
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.parents.generation.plan import make_plan
    from pgsrm_plugin.parents.generation.prompts import read_prompts

    rows, folder = read_prompts(options.prompts) if rows is None else rows, options.folder
    if folder.is_dir() and any(folder.iterdir()):
        with ParentStore.open(folder, writable=False) as store:
            return make_plan(rows, options.n, config, store, options.limit)
    return make_plan(rows, options.n, config, None, options.limit)


def show_plan(plan: Plan, prices: Prices) -> None:
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
    price_in, price_out = prices
    if price_in is None and price_out is None:
        typer.echo("cost              give --price-in and --price-out, per million tokens")
        return
    most, guess = plan.cost(price_in or 0.0, price_out or 0.0)
    typer.echo(f"cost              at most {most:.4g}" + (f", about {guess:.4g}" if guess is not None else ""))


def ask(options: GenerateOptions, config: ParentConfig, settings: dict[str, object]) -> RunCounts:
    """Asks for what the store lacks, and says what that came to."""
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.cli.parent.running import run, summarise
    from pgsrm_plugin.parents.export.prompt_rows import keep_rows
    from pgsrm_plugin.parents.generation.prompts import distinct, read_prompts, requests

    prompts, n, limit, folder = options.prompts, options.n, options.limit, options.folder
    total = sum(1 for _ in distinct(read_prompts(prompts), limit)) * n  # every row is checked before any call
    with ParentStore.open(folder, create=True):
        keep_rows(folder, _limited(read_prompts(prompts), limit))
    wanted = requests(read_prompts(prompts), n, limit)
    counts = run(folder, config, settings, wanted, total, deadline=options.deadline)
    summarise(counts, options.prices)
    return counts


def _generate(options: GenerateOptions, config: ParentConfig, settings: dict[str, object]) -> None:
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.cli.parent.running import Fates, finish
    from pgsrm_plugin.parents.generation.prompts import read_prompts, requests

    counts, folder, fates = ask(options, config, settings), options.folder, Fates()
    with ParentStore.open(folder, writable=False) as store:
        for request in requests(read_prompts(options.prompts), options.n, options.limit):
            fates.add(store, request.key(config))
    total = sum(fates.counts.values())
    typer.echo(f"{fates.counts['ok']} of {total} answers have a reference; they are in {folder}")
    finish(folder, fates, counts.stopped)


def _limited(rows: Iterator[PromptRow], limit: int | None) -> Iterator[PromptRow]:
    """Every row of the first ``limit`` prompts."""
    seen: set[bytes] = set()
    for row in rows:
        digest = bytes.fromhex(row.prompt_id)[:16]
        if limit is not None and digest not in seen and len(seen) == limit:
            continue
        seen.add(digest)
        yield row
