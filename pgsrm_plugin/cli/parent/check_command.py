"""``pgsrm parent check``: a look at the references."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsrm_plugin.cli.parent.options import Settings, Spec, Store
from pgsrm_plugin.errors import DataError

if TYPE_CHECKING:
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.parents.export.references import Answered
    from pgsrm_plugin.parents.review.agreement import Agreements
    from pgsrm_plugin.parents.review.quality import Quality


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
    from pgsrm_plugin.asking.answer_extraction import build_extractor
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.parents.export.references import choose
    from pgsrm_plugin.parents.review.quality import CHECKS, inspect

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
