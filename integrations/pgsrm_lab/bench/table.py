"""The result for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from pgsrm_lab.bench.wording import facts, runs_of, spread

HEADINGS = ("pairs/s", "range", "ours is", "padding", "MiB", "error", "tau")


def show(result: dict[str, Any], console: Console) -> None:
    """Prints a table of bars, and the facts that are no bar, for each dtype."""
    for run in runs_of(result):
        table = Table(title=f"{run['model'].rpartition('/')[2]}, {run['dtype']}, {run['device']}", title_justify="left")
        table.add_column("", no_wrap=True)
        for heading in HEADINGS:
            table.add_column(heading, justify="right", no_wrap=True)
        for name in run["pairs_per_s"]:
            table.add_row(name, *cells(run, name))
        console.print(table)
        for text in facts(run):
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        console.print()


def cells(run: dict[str, Any], name: str) -> list[str]:
    """A bar's row."""
    speed, ours = run["pairs_per_s"][name], run["pairs_per_s"]["ours"]
    low, high = spread(run, name)
    padding, memory = run["padding_share"].get(name), run["peak_memory_mb"].get(name)
    ranking = run["ranking"].get(name)
    return [
        f"{speed:,.1f}",
        f"{low:,.0f}-{high:,.0f}",
        f"{ours / speed:.2f}x" if name != "ours" else "",
        f"{padding:.1%}" if padding is not None else "",
        f"{memory:,.0f}" if memory is not None else "",
        f"{run['cosine_error'][name]['max']:.1e}",
        f"{ranking['mean']:.4f}" if ranking else "",
    ]
