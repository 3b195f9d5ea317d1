"""Commands that installed integrations bring, through the entry-point group ``pgsrm.commands``.

An entry point names a function of one argument, the :class:`typer.Context`, whose ``args`` are the arguments as given.
It is imported when its command runs, and not before.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

import typer

from pgsrm_plugin.errors import PgsrmError

GROUP = "pgsrm.commands"
OWN_COMMANDS = frozenset({"score", "spec", "parent", "calibrate", "doctor", "bench"})
HELP = {
    "train": "Train a child on your data with a reward spec, on one machine (Lightning).",
    "demo": "The main job: a child learns from its parent's answers; writes a report page.",
    "reproduce": "The PGSRM paper's experiments: tasks x rewards x seeds, intervals, a report (minutes to hours).",
    "rehearse": "Try a verl recipe on this machine's CPU: tiny model, your rows, two real steps.",
    "demo-verl": "The colour task with the real verl on this machine's CPU; writes a report page.",
}
"""What the listing says of the commands we know, without importing them."""
EXTRAS = {"train": "lightning", "demo": "demo", "reproduce": "demo", "rehearse": "verl", "demo-verl": "demo,verl"}
"""The extra that brings a command's dependencies."""
PASS_ALL = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
}


def integration_commands() -> list[EntryPoint]:
    """The entry points of the group by name, without those that would hide a command of our own."""
    found = {point.name: point for point in entry_points(group=GROUP) if point.name not in OWN_COMMANDS}
    return [found[name] for name in sorted(found)]


def add_integration_commands(app: typer.Typer) -> None:
    """Adds a command for each integration's entry point."""
    for point in integration_commands():
        provider = point.dist.name if point.dist else point.module
        text = HELP.get(point.name, f"From {provider}.")
        app.command(point.name, help=text, context_settings=PASS_ALL)(_lazily(point))


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
    if point.name in EXTRAS:
        return f"install it with `pip install 'pgsrm-plugin[{EXTRAS[point.name]}]'`"
    provider = point.dist.name if point.dist else point.module
    return f"reinstall {provider}, or report this to its authors"


def _cause(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the module {error.name!r} is not installed"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"


def _lazily(point: EntryPoint) -> Callable[[typer.Context], None]:
    def command(ctx: typer.Context) -> None:
        load(point)(ctx)

    return command
