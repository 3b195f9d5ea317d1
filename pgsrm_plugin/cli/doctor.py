"""``pgsrm doctor``: what is installed, what works, and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pgsrm_plugin.cli.checks import Finding

_MARKS = {"ok": "[green]ok[/]", "absent": "[yellow]absent[/]", "problem": "[red]problem[/]"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Tell what is installed, what works, and what to do. Exit status 1 if the reward core does not work."""
    from pgsrm_plugin.cli.checks import core_works, examine

    findings = examine()
    works = core_works(findings)
    if as_json:
        listed = [finding.as_dict() for finding in findings]
        typer.echo(json.dumps({"core_works": works, "findings": listed}, indent=2))
    else:
        _show(findings, works)
    raise typer.Exit(0 if works else 1)


def _show(findings: list[Finding], works: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from pgsrm_plugin.cli.tables import show_table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(_MARKS[finding.status], finding.name, escape(finding.detail))
    console = Console(highlight=False)
    show_table(table, console)
    for finding in findings:
        if finding.remedy:
            console.print(f"{finding.name}: {finding.remedy}", markup=False, soft_wrap=True)
    console.print("The reward core works." if works else "The reward core does NOT work.")
