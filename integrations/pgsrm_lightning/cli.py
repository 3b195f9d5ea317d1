"""The commands that join `pgsrm` through its entry-point group. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import typer


def train(ctx: typer.Context) -> None:
    """Train a child with PPO or GRPO on a reward spec; --config takes a recipe, e.g. of recipes/lightning."""
    from pgsrm_lightning import trainer_cli

    trainer_cli.main(ctx.args)


def demo(ctx: typer.Context) -> None:
    """Watch a small child learn from its parent's answers, and write a report."""
    from pgsrm_lightning.demo import run

    run.main(ctx.args)


def reproduce(ctx: typer.Context) -> None:
    """Run the experiments of the PGSRM paper, with seeds and intervals, and write what came out."""
    from pgsrm_lightning.reproduce import app

    app.main(ctx.args)
