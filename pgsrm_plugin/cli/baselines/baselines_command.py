"""``pgsrm baselines``: what the starting policy itself earns, which a spec's shape holds rewards against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsrm_plugin.cli.apps import takes
from pgsrm_plugin.cli.parent.generate_command import ask, make_plan_of, show_plan
from pgsrm_plugin.cli.parent.options import GenerateOptions, number_or_none
from pgsrm_plugin.cli.score import GroundTruthField, ReferenceField, progress

if TYPE_CHECKING:
    from pgsrm_plugin.data.rows import Record

_SHOWN = 3
baselines_app = typer.Typer(help="The starting policy's own rewards, for `shape` of a spec.", no_args_is_help=True)


@dataclass(frozen=True, kw_only=True)
class BaselineOptions(GenerateOptions):
    """The options of ``pgsrm baselines generate``."""

    spec: Annotated[str, typer.Option(help="The reward: a YAML file, or the name of a shipped one.")]
    scores: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the scores: .jsonl or .parquet.")]
    n: Annotated[int, typer.Option("--n", min=1, help="Answers a prompt; 1 does, and more are less noisy.")] = 4
    temperature: Annotated[
        float | None, typer.Option(parser=number_or_none, metavar="FLOAT|none", help="That of training's rollouts.")
    ] = 1.0
    reference_field: ReferenceField = None
    ground_truth_field: GroundTruthField = None


@baselines_app.callback()
def _of() -> None:
    """The starting policy's own rewards, for ``shape`` of a spec."""


@baselines_app.command()
@takes(BaselineOptions)
def generate(options: BaselineOptions) -> None:
    """Ask the starting policy, keep its answers in a store, and write what each earns; the same command resumes.

    With another spec and the same store no answer is asked for again. Exit status 1: rows are left without a score, and
    standard error says why; 2: a setting or a row is wrong; 3: the policy or the scorer failed.
    """
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.data.files import check_output, write_rows
    from pgsrm_plugin.data.rows import Columns, read_records
    from pgsrm_plugin.parents.baselines.policy_scores import rows_to_score, score_policy, unshaped
    from pgsrm_plugin.reward import SemanticReward
    from pgsrm_plugin.spec import load_spec
    from pgsrm_plugin.stopping import Stopped, heard
    from pgsrm_plugin.validate import judges_truth

    config, settings = options.config(), options.engine_settings()
    out, spec = check_output(options.scores), unshaped(load_spec(options.spec))
    columns = Columns(reference=options.reference_field, ground_truth=options.ground_truth_field)
    records = read_records(options.prompts, responses=False, columns=columns, judged=judges_truth(spec))
    rows = rows_to_score(_limited(records, options.limit), spec)
    if options.dry_run:
        show_plan(make_plan_of(options, config), options.prices)
        return
    counts = ask(options, config, settings)
    if counts.stopped == "interrupted" and (number := heard()) is not None:
        raise Stopped(number)
    reward = SemanticReward(spec)
    with ParentStore.open(options.folder, writable=False) as store, progress(len(rows) * options.n) as advance:
        found = score_policy(rows, store, config, options.n, reward, advance=advance)
    if found.lines:
        write_rows(out, found.lines)
        typer.echo(f"{len(found.lines)} of {len(rows)} rows have a baseline; they are in {out}")
    _tell(found.unanswered, "no answer in the store; the same command, or `pgsrm parent retry-failed`, asks again")
    _tell(found.unscored, f"only answers that cannot be scored, which unscorable: {spec.unscorable} leaves out")
    raise typer.Exit(1 if found.unanswered or found.unscored else 0)


def _limited(records: Sequence[Record], limit: int | None) -> list[Record]:
    """The records of the first ``limit`` prompts."""
    from pgsrm_plugin.parents.generation.prompts import prompt_id

    ids = [prompt_id(record.prompt) for record in records]
    chosen = set(list(dict.fromkeys(ids))[:limit])
    return [record for record, own in zip(records, ids, strict=True) if own in chosen]


def _tell(labels: Sequence[str], why: str) -> None:
    if labels:
        more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
        typer.echo(f"{len(labels)} rows have no baseline ({', '.join(labels[:_SHOWN])}{more}): {why}", err=True)
