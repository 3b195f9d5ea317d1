"""What every command has in common, whoever brings it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import typer


def new_app(help: str | None = None, *, no_args_is_help: bool = True) -> typer.Typer:
    """An app without commands: ``-h``, one sentence for an error, no shell completion."""
    return typer.Typer(
        help=help,
        no_args_is_help=no_args_is_help,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run_alone(function: Callable[..., Any], arguments: Sequence[str] | None, name: str) -> None:
    """Runs the one command of an app, called ``pgsrm NAME``; ``arguments`` default to those of the process."""
    app = new_app(no_args_is_help=False)
    app.command(name=name)(function)
    app(args=arguments, prog_name=f"pgsrm {name}")
