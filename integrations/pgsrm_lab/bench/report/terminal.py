"""The result for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from pgsrm_lab.bench.report.facts import facts
from pgsrm_lab.bench.report.rows import GUARD_HEADINGS, HEADINGS, cells, guard_rows, runs_of
from pgsrm_plugin.cli.tables import show_table


def show_guards(result: dict[str, Any], console: Console) -> None:
    """Prints what ``pgsrm bench --guards`` found."""
    rows = result["guards"]["rows"]
    table = Table(title=f"{result['spec']}, {rows} rows, {result['rounds']} rounds", title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in GUARD_HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in guard_rows(result):
        table.add_row(*row)
    show_table(table, console)


def show(result: dict[str, Any], console: Console) -> None:
    """Prints a table of the systems, and below it what the table does not say, for each dtype."""
    for run in runs_of(result):
        table = Table(title=f"{run['model'].rpartition('/')[2]}, {run['dtype']}, {run['device']}", title_justify="left")
        table.add_column("", no_wrap=True)
        for heading in HEADINGS:
            table.add_column(heading, justify="right", no_wrap=True)
        for name in run["pairs_per_s"]:
            table.add_row(name, *cells(run, name))
        show_table(table, console)
        for text in facts(run):
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        console.print()
