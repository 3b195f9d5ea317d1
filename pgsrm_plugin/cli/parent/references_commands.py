"""``pgsrm parent check`` and ``export``: a look at the references, and the data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsrm_plugin.errors import DataError, SpecError

if TYPE_CHECKING:
    from pgsrm_plugin.parents.export.references import Answered
    from pgsrm_plugin.parents.review.agreement import Agreements
    from pgsrm_plugin.parents.review.quality import Quality
    from pgsrm_plugin.parents.store.store import ParentStore

Store = Annotated[Path, typer.Argument(metavar="STORE", help="The store's folder.")]
Settings = Annotated[
    str | None, typer.Option(metavar="ID", help="The answers under these settings, where there are several; or all.")
]
Spec = Annotated[str, typer.Option(help="The reward spec whose encoder measures agreement.")]


def check(
    store: Store,
    html: Annotated[Path | None, typer.Option(help="Write counts and examples to this page.")] = None,
    expect: Annotated[
        str | None, typer.Option(metavar="RULE", help="The format that answers must have: json:, tag: or regex:.")
    ] = None,
    agreement: Annotated[
        bool, typer.Option("--agreement/--no-agreement", help="Measure agreement where a prompt has several answers.")
    ] = True,
    spec: Spec = "pgsrm",
    settings: Settings = None,
) -> None:
    """Look for what is wrong with the answers: empty, cut, refusals, echoes, another script or format, repeats."""
    from pgsrm_plugin.parents.export.answer_extraction import build_extractor
    from pgsrm_plugin.parents.export.references import choose
    from pgsrm_plugin.parents.review.quality import CHECKS, inspect
    from pgsrm_plugin.parents.store.store import ParentStore

    fits = None if expect is None else build_extractor(expect)
    if html is not None and not html.expanduser().resolve().parent.is_dir():
        raise DataError(f"there is no folder {html.parent} to write {html.name} to; create it first")
    with ParentStore.open(store, writable=False) as opened:
        prompts = choose(opened.answers(), settings)
        quality = inspect((answer for one in prompts.values() for answer in one.answers), fits)
        several = any(len(one.references) > 1 for one in prompts.values())
        agreements = measured(opened, prompts, spec) if agreement and several else None
    typer.echo(f"{quality.answers} answers to {quality.prompts} prompts")
    for name, meaning in CHECKS.items():
        if quality.counts[name]:
            typer.echo(f"  {quality.counts[name]:>6}  {name:<12} {meaning}")
    if not quality.counts:
        typer.echo("  nothing found")
    if agreements is not None:
        _tell_agreement(prompts, agreements)
    if html is not None:
        _write_page(html, store, quality, prompts, agreements)


def export(
    store: Store,
    out: Annotated[Path, typer.Option(help="A file; a folder with --split or --format hf.")],
    format: Annotated[str, typer.Option(help="verl (RL parquet), jsonl, or hf (Hugging Face, save_to_disk).")] = "verl",
    split: Annotated[
        str | None, typer.Option(help="E.g. train=0.9,val=0.1; own: the sides that rows name in extra_info.split.")
    ] = None,
    by: Annotated[str, typer.Option(help="What never stands on two sides: prompt or item.")] = "prompt",
    drop: Annotated[str, typer.Option(help="Leave out references that fail these checks; none: keep all.")] = (
        "refusal,echo"
    ),
    min_agreement: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Leave out prompts whose answers agree less.")
    ] = None,
    weight: Annotated[bool, typer.Option("--weight", help="Write the agreement as a column weight, too.")] = False,
    spec: Spec = "pgsrm",
    settings: Settings = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write every answer as it is stored, failures too, a JSON object a line.")
    ] = False,
) -> None:
    """Write the references as training data, and say what was left out and why."""
    if raw:
        _export_raw(store, out, {"--split": split, "--min-agreement": min_agreement, "--weight": weight or None})
        return
    from pgsrm_plugin.parents.export.export import build
    from pgsrm_plugin.parents.export.formats import FORMATS, check_place, write
    from pgsrm_plugin.parents.export.prompt_rows import kept_rows
    from pgsrm_plugin.parents.export.references import choose
    from pgsrm_plugin.parents.export.selection import Selection
    from pgsrm_plugin.parents.review.agreement import Agreements
    from pgsrm_plugin.parents.store.store import ParentStore

    shares = _shares(split, by)
    _one_of("--format", format, FORMATS)
    check_place(out, format, split is not None)
    with ParentStore.open(store, writable=False) as opened:
        prompts = choose(opened.answers(), settings)
        wanted = min_agreement is not None or weight
        agreements = measured(opened, prompts, spec) if wanted else Agreements.load(opened.folder)
        selection = Selection(_drops(drop), agreements, min_agreement, weight, shares, by)
        exported = build(kept_rows(opened.folder), prompts, selection, format)
    for path in write(exported.sides, out, format):
        typer.echo(f"written: {path}")
    sides = ", ".join(f"{name or 'rows'} {len(rows)}" for name, rows in exported.sides.items())
    typer.echo(f"{exported.rows} rows ({sides})")
    for reason, count in exported.left_out.most_common():
        typer.echo(f"left out: {count} {reason}")


def _export_raw(store: Path, out: Path, others: Mapping[str, object]) -> None:
    from pgsrm_plugin.data.files import check_output
    from pgsrm_plugin.data.whole import replacing
    from pgsrm_plugin.parents.store.store import ParentStore

    for option, value in others.items():
        if value is not None:
            raise SpecError(f"{option} chooses among references, and --raw writes every answer; leave one of them out")
    if out.suffix != ".jsonl":
        raise DataError(f"{out}: --raw writes JSON lines; call the file .jsonl")
    path, count = check_output(out), 0
    with ParentStore.open(store, writable=False) as opened, replacing(path) as file:
        for answer in opened.answers():
            file.write(answer.to_json() + b"\n")
            count += 1
    typer.echo(f"{count} answers written to {path}")


def measured(store: ParentStore, prompts: Mapping[str, Answered], spec_name: str) -> Agreements:
    """The agreements under a spec's encoder: those that the store keeps, and the rest measured now and kept.

    Raises:
        SpecError: the spec is wrong or has no encoder.
        ScorerError: the encoder failed.
    """
    from pgsrm_plugin.parents.review.agreement import Agreements, encoder_of, measure
    from pgsrm_plugin.spec import load_spec

    spec = load_spec(spec_name)
    found = measure(prompts.values(), encoder_of(spec, spec_name), spec.text, Agreements.load(store.folder))
    found.save(store.folder)
    return found


def _tell_agreement(prompts: Mapping[str, Answered], agreements: Agreements) -> None:
    from statistics import fmean, quantiles

    values = [value for one in prompts.values() if (value := agreements.of(one)) is not None]
    tenth = quantiles(values, n=10)[0] if len(values) > 1 else values[0]
    typer.echo(
        f"agreement of the answers to a prompt, {len(values)} prompts, by {agreements.encoder}: "
        f"mean {fmean(values):.3f}, a tenth is below {tenth:.3f}"
    )


def _write_page(
    html: Path, store: Path, quality: Quality, prompts: Mapping[str, Answered], agreements: Agreements | None
) -> None:
    from pgsrm_plugin.parents.review.overview import ParentPage, write_parent_page

    page = ParentPage(store.name, quality, list(prompts.values()), agreements)
    typer.echo(f"written: {write_parent_page(html.expanduser(), page)}")


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
