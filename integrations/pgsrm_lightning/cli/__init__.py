"""The commands that join `pgsrm` through its entry-point group. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import typer


def train(ctx: typer.Context) -> None:
    """Train a child on your data with a reward spec, on one machine (Lightning)."""
    from pgsrm_lightning.cli import trainer

    trainer.main(ctx.args)


def pretrain(ctx: typer.Context) -> None:
    """Train a child to continue texts of your field, on one machine (Lightning)."""
    from pgsrm_lightning.cli import imitate

    imitate.pretrain(ctx.args)


def sft(ctx: typer.Context) -> None:
    """Train a child to imitate answers: supervised fine-tuning, on one machine (Lightning)."""
    from pgsrm_lightning.cli import imitate

    imitate.sft(ctx.args)
