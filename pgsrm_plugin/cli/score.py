"""``pgsrm score``: the rewards of a file's rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsrm_plugin.errors import DataError, SpecError

if TYPE_CHECKING:
    from rich.table import Table

    from pgsrm_plugin.cli.parent.options import Prices
    from pgsrm_plugin.data.rows import Record
    from pgsrm_plugin.reward import SemanticReward
    from pgsrm_plugin.spec import RewardSpec
    from pgsrm_plugin.types import RewardSample

PromptField = Annotated[str | None, typer.Option(metavar="PATH", help="Where rows keep the prompt.")]
ResponseField = Annotated[str | None, typer.Option(metavar="PATH", help="Where rows keep the response(s).")]
ReferenceField = Annotated[
    str | None, typer.Option(metavar="PATH", help="Where rows keep the reference(s), e.g. extra_info.answer.")
]
GroundTruthField = Annotated[
    str | None, typer.Option(metavar="PATH", help="Where rows keep the short right answer(s).")
]
"""Options of every command that reads rows to score."""


def score(
    data: Annotated[Path, typer.Argument(metavar="IN", help="Rows to score: .jsonl or .parquet (verl's too).")],
    spec: Annotated[str, typer.Option(help="The reward: a YAML file, or the name of a shipped one, e.g. pgsrm.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write the rows with their rewards: .jsonl or .parquet.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows scored at a time.")] = 256,
    prompt_field: PromptField = None,
    response_field: ResponseField = None,
    reference_field: ReferenceField = None,
    ground_truth_field: GroundTruthField = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what judges would be asked, and what it costs; score nothing.")
    ] = False,
    price_in: Annotated[float | None, typer.Option(min=0, help="A judge's price of a million prompt tokens.")] = None,
    price_out: Annotated[float | None, typer.Option(min=0, help="A judge's price of a million answer tokens.")] = None,
) -> None:
    """Score every row of a file, and write the rows with their rewards.

    Nothing is written unless every row is scored. Exit status 2: the data or the spec is wrong; 3: the scorer failed.
    """
    from pgsrm_plugin.data.rows import Columns, check_columns, check_output, read_records, write_rows
    from pgsrm_plugin.reward import SemanticReward
    from pgsrm_plugin.spec import load_spec
    from pgsrm_plugin.validate import check_samples, judges_truth, never_on

    reward_spec = load_spec(spec)
    if out is None and not dry_run:
        raise SpecError("--out is missing: name a .jsonl or .parquet file, or give --dry-run")
    out = None if out is None else check_output(out)
    if out is not None and data.expanduser().resolve() == out:
        raise DataError(f"--out {out} is the input file itself; give another name")
    columns = Columns(prompt_field, response_field, reference_field, ground_truth_field)
    records = read_records(data, columns=columns, judged=judges_truth(reward_spec))
    _hint_at_answers(records, reward_spec)
    samples = [record.sample() for record in records]
    batch = check_samples(samples, reward_spec, label=lambda i: records[i].label)
    for sentence in never_on(batch, reward_spec):
        typer.echo(sentence, err=True)
    if dry_run or out is None:
        _show_questions(reward_spec, samples, (price_in, price_out))
        return
    _refuse_scored(records)
    check_columns(out, [record.row for record in records])
    reward = SemanticReward(reward_spec)
    whole = reward_spec.needs_groups  # a batch must hold whole groups
    with progress(len(records)) as advance:
        scores = score_in_batches(reward, records, samples, len(records) if whole else batch_size, advance)
    write_rows(out, [{**record.row, **numbers} for record, numbers in zip(records, scores, strict=True)])

    from rich.console import Console

    from pgsrm_plugin.cli.tables import show_table

    console = Console()
    show_table(summary_table(scores, list(reward_spec.terms)), console)
    console.print(_sentence(scores, out), markup=False, highlight=False, soft_wrap=True)


def _show_questions(spec: RewardSpec, samples: Sequence[RewardSample], prices: Prices) -> None:
    from pgsrm_plugin.cli.parent.generate_command import show_plan
    from pgsrm_plugin.parents.generation.judging import plans_of

    plans = plans_of(spec, samples)
    if not plans:
        typer.echo("no term of this spec asks a language model: scoring costs nothing but time")
    for names, model, tries, plan in plans:
        typer.echo(f"=== {', '.join(names)}: {model} ===")
        show_plan(plan, prices)
        if tries > 1:
            typer.echo(f"                  up to {tries} times as much where its answers are not in the form asked for")


def _hint_at_answers(records: Sequence[Record], spec: RewardSpec) -> None:
    """Says where a worked solution stands that the short answer was taken for."""
    needs = [term.needs() for term in spec.terms.values()]
    if not (any(need.references for need in needs) and any(need.ground_truth for need in needs)):
        return
    first = next((record for record in records if record.stands_in), None)
    info = first.row.get("extra_info") if first is not None else None
    answer = info.get("answer") if isinstance(info, dict) else None
    if first is not None and isinstance(answer, str) and answer.strip() not in first.references:
        typer.echo(
            f"pgsrm: {first.label}: the ground truth {first.references[0][:40]!r} is also taken as the reference; "
            "if extra_info.answer is the reference, add --reference-field extra_info.answer",
            err=True,
        )


def score_in_batches(
    reward: SemanticReward,
    records: Sequence[Record],
    samples: Sequence[RewardSample],
    batch_size: int,
    advance: Callable[[int], None],
) -> list[dict[str, float]]:
    """The rows' numbers, all with the same keys; messages name rows as the file does."""
    scores: list[dict[str, float]] = []
    for start in range(0, len(samples), batch_size):
        batch = samples[start : start + batch_size]
        labels = [record.label for record in records[start : start + batch_size]]
        scores += reward.score(batch, label=labels.__getitem__).rows()
        advance(len(batch))
    return scores


def _refuse_scored(records: Sequence[Record]) -> None:
    for record in records:
        for name in record.row:
            if name == "reward" or name.startswith("reward/"):
                raise DataError(
                    f"{record.label}: there is a column {name!r} already, which scoring would replace; "
                    "rename or remove it, or score the file that it came from"
                )


def summary_table(scores: Sequence[dict[str, float]], terms: Sequence[str]) -> Table:
    """Mean, standard deviation, least and greatest of the reward and each term, over the scored rows."""
    from statistics import fmean, pstdev

    from rich.table import Table

    table = Table(title="Rewards")
    table.add_column("", no_wrap=True)
    for heading in ("mean", "std", "min", "max"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in ("reward", *(f"reward/{term}" for term in terms)):
        values = [row[name] for row in scores if row["reward/scored"]]
        if values:
            numbers = (fmean(values), pstdev(values), min(values), max(values))
            table.add_row(name, *(f"{number:.4f}" for number in numbers))
    return table


def _sentence(scores: Sequence[dict[str, float]], out: Path) -> str:
    shares = {name: sum(row[f"reward/{name}"] for row in scores) / len(scores) for name in ("unscorable", "truncated")}
    listed = ", ".join(f"{share:.1%} {name}" for name, share in shares.items())
    unknown = sum(row["reward/unknown_words"] for row in scores) / len(scores)
    listed += f", {unknown:.1%} of words unknown to the encoder" if unknown else ""
    return f"{len(scores)} rows ({listed}) written to {out}"


@contextmanager
def progress(rows: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error where that is a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("scoring", total=rows)
        yield lambda scored: bar.advance(task, scored)
