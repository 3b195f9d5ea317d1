"""The commands that join `pgsrm` through its entry-point group. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import typer


def train(ctx: typer.Context) -> None:
    """Train a child on your data with a reward spec, on one machine (Lightning)."""
    from pgsrm_lightning.cli import trainer

    trainer.main(ctx.args)
