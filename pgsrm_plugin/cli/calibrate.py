"""``pgsrm calibrate``: the settings of a spec that depend on its models and on the data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    data: Annotated[Path, typer.Argument(metavar="IN", help="Rows with prompts and references: .jsonl or .parquet.")],
    spec: Annotated[str, typer.Option(help="The spec whose parts are measured: a YAML file or a shipped name.")],
    pairs: Annotated[int, typer.Option(min=1, help="The most pairs to measure, of each sort.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the choice of pairs.")] = 0,
) -> None:
    """Measure unrelated references under a spec's models; print each `floor`, `baseline` and `centre` to paste."""
    from pgsrm_plugin.calibration import as_yaml, spec_to_calibrate
    from pgsrm_plugin.calibration import calibrate as measure
    from pgsrm_plugin.data.rows import read_records
    from pgsrm_plugin.spec.shipped import find_spec_file

    found = spec_to_calibrate(find_spec_file(spec))
    measured = measure(found, read_records(data, responses=False), pairs=pairs, seed=seed)
    for number, (place, one) in enumerate(measured.items()):
        typer.echo(("---\n" if number else "") + f"# {one.measured}\n# paste into {place}:")
        typer.echo(as_yaml(one.settings), nl=False)
