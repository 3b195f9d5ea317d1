"""The commands that join `pgsrm` through its entry-point group. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import typer


def rehearse(ctx: typer.Context) -> None:
    """Run a verl GPU recipe for two real steps on this CPU, with a tiny model and a few of your rows."""
    from pgsrm_verl import rehearse_cli

    rehearse_cli.main(ctx.args)


def demo_verl(ctx: typer.Context) -> None:
    """Watch verl train a small child on this CPU, beside Lightning, and write a report."""
    from pgsrm_verl.rehearse_cli import require

    require("pgsrm demo-verl", {"verl": "verl", "ray": "verl", "lightning": "demo", "plotly": "demo"})
    from pgsrm_verl.demo import run

    run.main(ctx.args)
