"""The ``pgsrm`` command. Its modules import torch only when a command runs, so that help is quick."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from pgsrm_plugin.cli.apps import new_app
from pgsrm_plugin.cli.audit.audit_command import audit
from pgsrm_plugin.cli.baselines.baselines_command import baselines_app
from pgsrm_plugin.cli.calibrate import calibrate
from pgsrm_plugin.cli.doctor import doctor
from pgsrm_plugin.cli.evaluate import evaluate
from pgsrm_plugin.cli.integrations import add_integration_commands
from pgsrm_plugin.cli.parent.app import parent_app
from pgsrm_plugin.cli.score import score
from pgsrm_plugin.cli.serve.serve_command import serve
from pgsrm_plugin.cli.spec import spec_app
from pgsrm_plugin.errors import DataError, PgsrmError, ScorerError, SpecError, StoreError, UnscorableError
from pgsrm_plugin.stopping import Stopped, stopping_on_signals

EXIT_STATUS: dict[type[PgsrmError], int] = {
    SpecError: 2, DataError: 2, UnscorableError: 2, StoreError: 2, ScorerError: 3,
}  # fmt: skip
"""What the command exits with; 1 for other errors, 130 at Ctrl-C and 143 at SIGTERM."""
DEBUG = "PGSRM_DEBUG"
"""Environment variable that, set to 1, shows the traceback of every error."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits; ``arguments`` default to those of the process."""
    _print_any_text()
    try:
        with stopping_on_signals():
            build_app()(args=arguments, prog_name="pgsrm")
    except Stopped as stopped:
        typer.echo(f"pgsrm: {stopped}", err=True)
        raise
    except PgsrmError as error:
        if os.environ.get(DEBUG) == "1":
            raise
        typer.echo(f"pgsrm: {error}", err=True)
        raise SystemExit(next((EXIT_STATUS[kind] for kind in type(error).__mro__ if kind in EXIT_STATUS), 1)) from None


def _print_any_text() -> None:
    """Texts of users and models may hold what the terminal's encoding does not: it is shown escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def build_app() -> typer.Typer:
    """The command with its own commands and those of the installed integrations."""
    app = new_app("Semantic rewards for LLM reinforcement learning.")
    app.callback()(_options)
    app.command()(score)
    app.add_typer(spec_app, name="spec")
    app.add_typer(parent_app, name="parent")
    app.add_typer(baselines_app, name="baselines")
    app.command()(evaluate)
    app.command()(audit)
    app.command()(serve)
    app.command()(calibrate)
    app.command()(doctor)
    add_integration_commands(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"pgsrm-plugin {version('pgsrm-plugin')}")
        raise typer.Exit


def _options(
    debug: Annotated[bool, typer.Option("--debug", help=f"Show the traceback of an error (or set {DEBUG}=1).")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"
