"""``pgsrm audit``: whether a reward pays for nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pgsrm_plugin.cli.apps import takes
from pgsrm_plugin.cli.score import GroundTruthField, PromptField, ReferenceField, ResponseField

_CARD = Path("reward-card.html")


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """The options of ``audit``."""

    spec: Annotated[str, typer.Argument(help="The reward: a YAML file, or the name of a shipped one, e.g. pgsrm.")]
    data: Annotated[Path, typer.Argument(help="Rows with prompts and references: .jsonl or .parquet (verl's too).")]
    rows: Annotated[int, typer.Option(min=2, help="Rows to attack, a seeded sample.")] = 500
    html: Annotated[Path, typer.Option(help="Where to write the reward card, a page.")] = _CARD
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")] = None
    gate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="What must hold, e.g. max_success=0.01 or min_auc=0.9; repeatable."),
    ] = None
    threshold: Annotated[
        float | None, typer.Option(help="The reward that counts as a success, instead of what good answers earn.")
    ] = None
    form: Annotated[
        str | None,
        typer.Option(help="The form of an answer, with {text} and {answer}, where the spec's tags do not say it."),
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of the sample and of the attacks.")] = 0
    batch_size: Annotated[int, typer.Option(min=1, help="Rows scored at a time.")] = 256
    prompt_field: PromptField = None
    response_field: ResponseField = None
    reference_field: ReferenceField = None
    ground_truth_field: GroundTruthField = None


@takes(AuditOptions)
def audit(options: AuditOptions) -> None:
    """Attack a reward with your own prompts and references: what does it pay for nothing?

    Exit status 1: a gate does not hold; 2: the data or the spec is wrong; 3: the scorer failed.
    """
    from rich.console import Console

    from pgsrm_plugin.audit.auditing import AuditPlan
    from pgsrm_plugin.audit.auditing import audit as run_audit
    from pgsrm_plugin.audit.card_page import write_card
    from pgsrm_plugin.audit.form import Form
    from pgsrm_plugin.audit.limits import parse_limits
    from pgsrm_plugin.audit.pay import Paymaster, as_audited
    from pgsrm_plugin.audit.targets import read_rows_of
    from pgsrm_plugin.cli.audit.on_screen import show_card
    from pgsrm_plugin.cli.places import check_place, write_place
    from pgsrm_plugin.cli.score import progress
    from pgsrm_plugin.data.rows import Columns
    from pgsrm_plugin.reward import SemanticReward
    from pgsrm_plugin.spec import load_spec
    from pgsrm_plugin.validate import check_samples, judges_truth

    limits = parse_limits(options.gate or [])
    page = check_place(options.html, "--html", (".html", ".htm"))
    numbers = None if options.json_out is None else check_place(options.json_out, "--json", (".json",))
    spec = load_spec(options.spec)
    form = Form.of(spec) if options.form is None else Form(options.form.replace("\\n", "\n"))
    fields = (options.prompt_field, options.response_field, options.reference_field, options.ground_truth_field)
    found = read_rows_of(options.data, Columns(*fields), spec.text, judged=judges_truth(spec))
    scored = as_audited(spec)
    check_samples([row.sample(row.reference) for row in found], scored, label=lambda i: found[i].label)
    name = spec.name or Path(options.spec).stem
    plan = AuditPlan(spec, name, options.data.name, form, options.rows, options.seed, options.threshold)
    reward = SemanticReward(scored)
    with progress(plan.scorings(len(found))) as advance:
        card = run_audit(plan, found, Paymaster(reward, options.batch_size, advance))
    if numbers is not None:
        write_place(numbers, json.dumps(card.as_dict(), indent=2, ensure_ascii=False) + "\n")
    show_card(card, Console())
    typer.echo(f"The card, with the worst examples: {write_card(page, card)}")
    failures = [failure for limit in limits if (failure := limit.failure(card)) is not None]
    for failure in failures:
        typer.echo(f"pgsrm: {failure}", err=True)
    if failures:
        raise typer.Exit(1)
