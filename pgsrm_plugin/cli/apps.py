"""What every command has in common, whoever brings it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

import typer

Options = TypeVar("Options")


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


def takes(schema: type[Options]) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Makes a command whose options are the fields of a dataclass: typer reads them in the signature."""
    hints = get_type_hints(schema, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in sorted(fields(schema), key=lambda field: field.default is not MISSING)  # type: ignore[arg-type]
    ]

    def decorate(command: Callable[[Options], None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            command(schema(**given))

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate
