"""``pgsrm parent import``: takes over answers that were had elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from pgsrm_plugin.cli.apps import takes
from pgsrm_plugin.cli.parent.options import ImportOptions
from pgsrm_plugin.errors import DataError, SpecError

if TYPE_CHECKING:
    from pgsrm_plugin.parents.generation.prompts import PromptRow
    from pgsrm_plugin.parents.importing.take_over import TakenOver

_NAMED = 5


@takes(ImportOptions)
def import_answers(options: ImportOptions) -> None:
    """Take over answers from a file: a batch API's output (by custom_id), or rows with prompt and answer.

    They are checked and kept as those of `generate` under the same options, which then asks for what is missing. Exit
    status 1: some answers have no reference or no prompt, or some prompts no answer.
    """
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.cli.parent.running import Fates, tell
    from pgsrm_plugin.parents.export.prompt_rows import keep_rows
    from pgsrm_plugin.parents.importing.answer_files import read_answers
    from pgsrm_plugin.parents.importing.take_over import take_over

    folder = options.out.expanduser()
    rows, prompts, served = _looked_at(options)
    model = options.model or served
    if model is None:
        raise SpecError(f"{options.file} does not say what model answered; give --model")
    config = options.parent(options.engine, model)
    with ParentStore.open(folder, create=True) as store:
        keep_rows(folder, rows)
        done = take_over(read_answers(options.file), prompts, config, store, {"imported_from": options.file.name})
        fates = Fates()
        for key in done.keys:
            fates.add(store, key)
    well = _report(done, fates.counts["ok"], options.file.name, rows)
    raise typer.Exit(0 if tell(folder, fates) and well else 1)


def _looked_at(options: ImportOptions) -> tuple[list[PromptRow], Mapping[str, PromptRow], str | None]:
    """The prompts, in order and by what the answers call them, and the model that the file names; each line is checked
    before anything is kept."""
    from pgsrm_plugin.parents.generation.prompts import PromptRow, distinct
    from pgsrm_plugin.parents.importing.answer_files import read_answers
    from pgsrm_plugin.parents.importing.asked_prompts import asked_rows, by_id

    rows = [] if options.prompts is None else list(asked_rows(options.prompts))
    ids, own, served = set[str](), list[PromptRow](), None
    for one in read_answers(options.file):
        served = served or one.completion.served_model
        if one.custom_id is not None:
            ids.add(one.custom_id)
        if one.row is not None and options.prompts is None:
            own.append(one.row)
    if ids and options.prompts is None:
        raise DataError(f"{options.file} is a batch's output, which has no prompts; give them with --prompts")
    rows = rows or list(distinct(own))
    prompts = {row.prompt_id: row for row in reversed(rows)}
    return rows, {**prompts, **(by_id(rows, ids, options.id) if ids else {})}, served


def _report(done: TakenOver, usable: int, name: str, rows: Sequence[PromptRow]) -> bool:
    """Says what was taken over and what was not; returns whether nothing is amiss."""
    known = f", {done.known} were in the store" if done.known else ""
    typer.echo(f"{len(done.keys)} answers taken over from {name}{known}")
    typer.echo(f"tokens: {done.tokens['prompt']} of prompts, {done.tokens['completion']} of answers")
    typer.echo(f"{usable} of {len(done.keys)} answers have a reference")
    missing = {row.prompt_id: row.label for row in rows if row.prompt_id not in done.answered}
    amiss = {
        "answers are to no prompt that is known": done.unknown,
        "answers are to what was answered before; the first one counts": done.duplicates,
        "prompts have no answer in the file; `pgsrm parent generate` with the same options asks": missing.values(),
    }
    for said, names in amiss.items():
        if names:
            typer.echo(f"{len(names)} {said}: {_listed(names)}", err=True)
    return not any(amiss.values())


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_NAMED]) + (" ..." if len(listed) > _NAMED else "")
