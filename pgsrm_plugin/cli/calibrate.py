"""``pgsrm calibrate``: the floor for ``transform: calibrated``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    data: Annotated[Path, typer.Argument(metavar="IN", help="Rows with prompts and references: .jsonl or .parquet.")],
    spec: Annotated[str, typer.Option(help="The spec whose encoder is measured: a YAML file or a shipped name.")],
    pairs: Annotated[int, typer.Option(min=1, help="Mismatched pairs to measure.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the choice of pairs.")] = 0,
) -> None:
    """Measure the cosine of unrelated references under a spec's encoder, and print the `floor:` to paste."""
    from pgsrm_plugin.cli.floor import encoder_sections, measure_floor
    from pgsrm_plugin.data.rows import read_records
    from pgsrm_plugin.spec.shipped import find_spec_file

    encoder_spec, text_spec = encoder_sections(find_spec_file(spec))
    records = read_records(data, responses=False)
    floor = measure_floor(records, encoder_spec.build(), text_spec, pairs=pairs, seed=seed)
    typer.echo(
        f"# {floor.pairs} mismatched pairs: mean cosine {floor.mean:.4f}, median {floor.median:.4f}, "
        f"95th percentile {floor.percentile_95:.4f}"
    )
    typer.echo("# paste into the semantic term:")
    typer.echo(floor.yaml(), nl=False)
