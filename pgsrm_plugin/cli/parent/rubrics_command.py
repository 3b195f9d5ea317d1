"""``pgsrm parent rubrics``: a rubric for each prompt, written once, for the term that judges by it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pgsrm_plugin.cli.apps import takes
from pgsrm_plugin.cli.parent.options import GenerateOptions

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class RubricOptions(GenerateOptions):
    """The options of ``rubrics``."""

    max_tokens: Annotated[int, typer.Option(min=1, help="The longest rubric, in the parent's tokens.")] = 1024
    reference_field: Annotated[
        str | None, typer.Option(metavar="PATH", help="Where rows keep the reference(s), which the parent is shown.")
    ] = None
    worse_field: Annotated[
        str | None, typer.Option(metavar="PATH", help="Where rows keep worse answers, to write from the contrast.")
    ] = None


@takes(RubricOptions)
def rubrics(options: RubricOptions) -> None:
    """Have a parent write a rubric for each prompt, and keep it; the same command resumes.

    The parent is shown the prompt, the row's references and, with --worse-field, worse answers. A spec names the store
    as `rubric_store` of a judge. Exit status 1: some prompts have no rubric, and standard error says which.
    """
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.cli.parent.generate_command import make_plan_of, show_plan
    from pgsrm_plugin.cli.parent.running import Fates, finish, run, summarise
    from pgsrm_plugin.data.rows import Columns, read_records
    from pgsrm_plugin.errors import SpecError
    from pgsrm_plugin.parents.generation.prompts import distinct, requests
    from pgsrm_plugin.parents.generation.rubrics import rubric_rows
    from pgsrm_plugin.terms.judge.rubric import rubric_in

    if options.n != 1 or options.extract is not None:
        raise SpecError("a prompt has one rubric, taken whole: leave --n and --extract out")
    config, settings = options.config(), options.engine_settings()
    columns = Columns(reference=options.reference_field)
    records = read_records(Path(options.prompts), responses=False, columns=columns, judged=False)
    rows = list(distinct(rubric_rows(records, options.worse_field), options.limit))
    if options.dry_run:
        show_plan(make_plan_of(options, config, rows), options.prices)
        return
    counts = run(options.folder, config, settings, requests(rows, 1), len(rows), deadline=options.deadline)
    summarise(counts, options.prices)
    fates, useless = Fates(), list[str]()
    with ParentStore.open(options.folder, writable=False) as store:
        for row, request in zip(rows, requests(rows, 1), strict=True):
            answer = store.get(request.key(config))
            fates.add(store, request.key(config))
            if answer is not None and answer.ok and rubric_in(answer.reference or "") is None:
                useless.append(row.label)
    written = fates.counts["ok"] - len(useless)
    typer.echo(f"{written} of {len(rows)} prompts have a rubric; they are in {options.folder}")
    if useless:
        more = f" and {len(useless) - _SHOWN} more" if len(useless) > _SHOWN else ""
        named = ", ".join(useless[:_SHOWN]) + more
        typer.echo(
            f"{len(useless)} answers are no rubric ({named}): ask another parent, or with another --seed", err=True
        )
        raise typer.Exit(1)
    finish(options.folder, fates, counts.stopped)
