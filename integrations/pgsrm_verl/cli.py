"""The commands that join `pgsrm` through its entry-point group. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import typer


def rehearse(ctx: typer.Context) -> None:
    """Try a verl recipe on this machine's CPU: tiny model, your rows, two real steps."""
    from pgsrm_verl.rehearsal import command

    command.main(ctx.args)
