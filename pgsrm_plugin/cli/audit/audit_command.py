"""``pgsrm audit``: whether a reward pays for nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pgsrm_plugin.cli.score import GroundTruthField, PromptField, ReferenceField, ResponseField
from pgsrm_plugin.errors import DataError

_CARD = Path("reward-card.html")


def audit(
    spec: Annotated[str, typer.Argument(help="The reward: a YAML file, or the name of a shipped one, e.g. pgsrm.")],
    data: Annotated[Path, typer.Argument(help="Rows with prompts and references: .jsonl or .parquet (verl's too).")],
    rows: Annotated[int, typer.Option(min=2, help="Rows to attack, a seeded sample.")] = 500,
    html: Annotated[Path, typer.Option(help="Where to write the reward card, a page.")] = _CARD,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="What must hold, e.g. max_success=0.01 or min_auc=0.9; repeatable."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="The reward that counts as a success, instead of what good answers earn.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(help="The form of an answer, with {text} and {answer}, where the spec's tags do not say it."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sample and of the attacks.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows scored at a time.")] = 256,
    prompt_field: PromptField = None,
    response_field: ResponseField = None,
    reference_field: ReferenceField = None,
    ground_truth_field: GroundTruthField = None,
) -> None:
    """Attack a reward with your own prompts and references: what does it pay for nothing?

    Exit status 1: a gate does not hold; 2: the data or the spec is wrong; 3: the scorer failed.
    """
    from pgsrm_plugin.audit.limits import parse_limits

    limits = parse_limits(gate or [])
    from pgsrm_plugin.audit.auditing import AuditPlan
    from pgsrm_plugin.audit.auditing import audit as run_audit
    from pgsrm_plugin.audit.card_page import write_card
    from pgsrm_plugin.audit.form import Form
    from pgsrm_plugin.audit.pay import Paymaster, as_audited
    from pgsrm_plugin.audit.targets import read_rows_of
    from pgsrm_plugin.cli.audit.on_screen import show_card
    from pgsrm_plugin.cli.score import progress
    from pgsrm_plugin.data.rows import Columns
    from pgsrm_plugin.reward import SemanticReward
    from pgsrm_plugin.spec import load_spec
    from pgsrm_plugin.validate import check_samples, judges_truth

    reward_spec = load_spec(spec)
    wanted = Form.of(reward_spec) if form is None else Form(form.replace("\\n", "\n"))
    columns = Columns(prompt_field, response_field, reference_field, ground_truth_field)
    found = read_rows_of(data, columns, reward_spec.text, judged=judges_truth(reward_spec))
    scored = as_audited(reward_spec)
    check_samples([row.sample(row.reference) for row in found], scored, label=lambda i: found[i].label)
    plan = AuditPlan(reward_spec, reward_spec.name or Path(spec).stem, data.name, wanted, rows, seed, threshold)
    reward = SemanticReward(scored)
    with progress(plan.scorings(len(found))) as advance:
        card = run_audit(plan, found, Paymaster(reward, batch_size, advance))
    if json_out is not None:
        _write(json_out.expanduser(), json.dumps(card.as_dict(), indent=2, ensure_ascii=False) + "\n")
    written = write_card(html.expanduser(), card)
    show_card(card, written)
    failures = [failure for limit in limits if (failure := limit.failure(card)) is not None]
    for failure in failures:
        typer.echo(f"pgsrm: {failure}", err=True)
    if failures:
        raise typer.Exit(1)


def _write(path: Path, text: str) -> None:
    from pgsrm_plugin.data.whole import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode("utf-8", "replace"))
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None
