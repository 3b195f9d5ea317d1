"""Commands that installed integrations bring, through the entry-point group ``pgsrm.commands``.

An entry point names a function of one argument, the :class:`typer.Context`, whose ``args`` are the arguments as given.
It is imported when its command runs, and not before: the listing takes the help from the first line of its docstring in
the source. The entry point's extras (``pgsrm_lab.cli:demo [demo]``) are what brings the command's dependencies.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

import typer
from typer.main import get_command_name

from pgsrm_plugin.errors import PgsrmError

GROUP = "pgsrm.commands"
PASS_ALL = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
}


def integration_commands() -> list[EntryPoint]:
    """The entry points of the group by name."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    return [found[name] for name in sorted(found)]


def add_integration_commands(app: typer.Typer) -> None:
    """Adds a command for each integration's entry point, unless it would hide one that the app has."""
    own = {
        command.name or get_command_name(command.callback.__name__)  # type: ignore[union-attr]
        for command in app.registered_commands
    }
    own |= {group.name for group in app.registered_groups if group.name}
    for point in integration_commands():
        if point.name not in own:
            app.command(point.name, help=_help(point), context_settings=PASS_ALL)(_lazily(point))


def load(point: EntryPoint) -> Callable[[typer.Context], None]:
    """The function behind an entry point.

    Raises:
        PgsrmError: it cannot be imported; the message is one sentence that says what to do.
    """
    try:
        function: Callable[[typer.Context], None] = point.load()
    except Exception as error:  # whatever a plugin's import raises
        raise PgsrmError(f"`pgsrm {point.name}` cannot start: {_cause(error)}; {remedy(point)}") from error
    return function


def remedy(point: EntryPoint) -> str:
    """What to install so that a command works."""
    if point.extras:
        return f"install it with `pip install '{_provider(point)}[{','.join(point.extras)}]'`"
    return f"reinstall {_provider(point)}, or report this to its authors"


def _provider(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module


def _help(point: EntryPoint) -> str:
    """The first line of the function's docstring, read from its module's source, which is not run."""
    with contextlib.suppress(ImportError, AttributeError, SyntaxError, OSError):
        loader = find_spec(point.module).loader  # type: ignore[union-attr]
        tree = ast.parse(loader.get_source(point.module))  # type: ignore[union-attr]
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == point.attr and (text := ast.get_docstring(node)):
                return text.splitlines()[0]
    return f"From {_provider(point)}."


def _cause(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the module {error.name!r} is not installed"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"


def _lazily(point: EntryPoint) -> Callable[[typer.Context], None]:
    def command(ctx: typer.Context) -> None:
        load(point)(ctx)

    return command
