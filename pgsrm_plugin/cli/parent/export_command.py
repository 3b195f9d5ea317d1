"""``pgsrm parent export``: the references as training data."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from pgsrm_plugin.cli.apps import takes
from pgsrm_plugin.cli.parent.options import ExportOptions
from pgsrm_plugin.errors import DataError, SpecError


@takes(ExportOptions)
def export(options: ExportOptions) -> None:
    """Write the references as training data, and say what was left out and why."""
    if options.raw:
        _export_raw(options)
        return
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.cli.parent.check_command import measured
    from pgsrm_plugin.parents.export.export import build
    from pgsrm_plugin.parents.export.formats import FORMATS, check_place, write
    from pgsrm_plugin.parents.export.prompt_rows import kept_rows
    from pgsrm_plugin.parents.export.references import choose
    from pgsrm_plugin.parents.export.selection import Selection
    from pgsrm_plugin.parents.review.agreement import Agreements

    shares = _shares(options.split, options.by)
    _one_of("--format", options.format, FORMATS)
    check_place(options.out, options.format, options.split is not None)
    with ParentStore.open(options.store, writable=False) as opened:
        prompts = choose(opened.answers(), options.settings)
        wanted = options.min_agreement is not None or options.weight
        agreements = measured(opened, prompts, options.spec) if wanted else Agreements.load(opened.folder)
        drop, by = _drops(options.drop), options.by
        selection = Selection(drop, agreements, options.min_agreement, options.weight, shares, by)
        exported = build(kept_rows(opened.folder), prompts, selection, options.format)
    for path in write(exported.sides, options.out, options.format):
        typer.echo(f"written: {path}")
    sides = ", ".join(f"{name or 'rows'} {len(rows)}" for name, rows in exported.sides.items())
    typer.echo(f"{exported.rows} rows ({sides})")
    for reason, count in exported.left_out.most_common():
        typer.echo(f"left out: {count} {reason}")


def _export_raw(options: ExportOptions) -> None:
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.data.files import check_output
    from pgsrm_plugin.data.whole import replacing

    out = options.out
    choosing = {
        "--split": options.split,
        "--min-agreement": options.min_agreement,
        "--weight": options.weight or None,
    }
    for option, value in choosing.items():
        if value is not None:
            raise SpecError(f"{option} chooses among references, and --raw writes every answer; leave one of them out")
    if out.suffix != ".jsonl":
        raise DataError(f"{out}: --raw writes JSON lines; call the file .jsonl")
    path, count = check_output(out), 0
    with ParentStore.open(options.store, writable=False) as opened, replacing(path) as file:
        for answer in opened.answers():
            file.write(answer.to_json() + b"\n")
            count += 1
    typer.echo(f"{count} answers written to {path}")


def _shares(split: str | None, by: str) -> dict[str, float] | str:
    from pgsrm_plugin.parents.export.selection import OWN
    from pgsrm_plugin.parents.export.split import BY, parse_split

    _one_of("--by", by, BY)
    if split is None or split == OWN:
        if by != "prompt":
            raise SpecError(f"--by {by} says how --split divides; give it shares, e.g. --split train=0.9,val=0.1")
        return split or {}
    return parse_split(split)


def _drops(drop: str) -> frozenset[str]:
    from pgsrm_plugin.parents.review.quality import TEXT_CHECKS

    names = [] if drop == "none" else [name.strip() for name in drop.split(",") if name.strip()]
    for name in names:
        _one_of("--drop", name, [one for one in TEXT_CHECKS if one in ("refusal", "echo", "script")])
    return frozenset(names)


def _one_of(option: str, value: str, known: Mapping[str, object] | list[str] | tuple[str, ...]) -> None:
    from pgsrm_plugin.errors import did_you_mean

    if value not in known:
        raise SpecError(f"{option} {value} is unknown{did_you_mean(value, known)} (known: {', '.join(known)})")
