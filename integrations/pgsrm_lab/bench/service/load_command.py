"""``pgsrm bench serve``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsrm_plugin.cli.apps import run_alone

if TYPE_CHECKING:
    from rich.console import Console


def main(arguments: list[str]) -> None:
    """Runs the command with the given arguments."""
    run_alone(bench_serve, arguments, "bench serve")


def bench_serve(
    spec: Annotated[str, typer.Option(help="The reward: a YAML file, or the name of a shipped one.")] = "pgsrm",
    rows: Annotated[int, typer.Option(min=1, help="Rows asked for, of each size.")] = 10_000,
    sizes: Annotated[str, typer.Option(help="Rows of one question, several with commas.")] = "1,8,64",
    connections: Annotated[int, typer.Option(min=1, help="Open at once.")] = 256,
    rounds: Annotated[int, typer.Option(min=1, help="Parts in which service and engine take turns.")] = 5,
    restarts: Annotated[int, typer.Option(min=0, help="How often the service is killed under a client.")] = 20,
    mean_tokens: Annotated[int, typer.Option(min=4, help="Mean length of a text.")] = 24,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")] = None,
) -> None:
    """Load `pgsrm serve`: is anything lost or changed, how fast is it beside the engine, and what if it is killed?

    Exit status 1 where a row was lost, or got another number than in this process.
    """
    from rich.console import Console

    from pgsrm_lab.bench.service.under_load import LoadSettings, run_load

    chosen = tuple(int(size) for size in sizes.split(","))
    settings = LoadSettings(spec, rows, chosen, connections, rounds, restarts, mean_tokens)
    console = Console(stderr=True)
    result = run_load(settings, lambda text: console.print(text, highlight=False))
    show(result, Console())
    if json_out is not None:
        json_out.expanduser().write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    found = [*result["sizes"], *([result["killed"]] if "killed" in result else [])]
    if any(one["lost"] or one["other_number"] for one in found):
        raise typer.Exit(1)


def show(result: dict[str, Any], console: Console) -> None:
    """Prints what the load met."""
    from rich.table import Table

    from pgsrm_plugin.cli.tables import show_table

    table = Table(title=f"{result['settings']['connections']} connections", title_justify="left")
    headings = ("rows a question", "questions", "lost", "other number", "p50 ms", "p99 ms", "pairs/s")
    for heading in (*headings, "of the engine's", "of its batches of 256", "in CPU time"):
        table.add_column(heading, justify="right")
    for one in result["sizes"]:
        counts = [str(one[name]) for name in ("rows_a_question", "questions", "lost", "other_number")]
        times = [f"{one['p50_ms']:.0f}", f"{one['p99_ms']:.0f}", f"{one['pairs_per_s']['service']:.0f}"]
        shares = [one[name] for name in ("share_of_engine", "share_of_engine_batches", "cpu_of_engine_batches")]
        table.add_row(*counts, *times, *(f"{share:.0%}" for share in shares))
    show_table(table, console)
    memory = result["memory_mb"]
    said = "memory: {ready:.0f} MiB when ready, {end:.0f} at the end, {peak:.0f} at its peak".format(**memory)
    console.print(said, highlight=False)
    if "killed" in result:
        said = "killed {restarts} times: {answered} rows answered, {lost} lost, {other_number} with another number"
        console.print(said.format(**result["killed"]), highlight=False)
