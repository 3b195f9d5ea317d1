"""The commands that join `pgsrm` through its entry-point group. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import typer


def rehearse(ctx: typer.Context) -> None:
    """Run a verl GPU recipe for two real steps on this CPU, with a tiny model and a few of your rows."""
    from pgsrm_verl import rehearse_cli

    rehearse_cli.main(ctx.args)
