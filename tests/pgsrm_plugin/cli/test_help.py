"""``-h`` is understood everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from typer.main import get_command

from pgsrm_plugin.cli import build_app
from pgsrm_plugin.cli.integrations import integration_commands

NEEDED = {"demo": "verl lightning plotly ray", "lightning": "lightning", "real": "gguf", "verl": "verl ray hydra"}
"""Modules of an extra, without which a command of it cannot say anything."""
OWN_COMMANDS = {"tasks": ("list", "show", "export", "cosines"), "reproduce": ("pgsrm", "guards", "page")}


def commands() -> Iterator[tuple[str, ...]]:
    def below(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, child in getattr(command, "commands", {}).items():
            yield from below(child, (*path, name))

    yield from below(get_command(build_app()), ())
    for name, subcommands in OWN_COMMANDS.items():
        yield from ((name, each) for each in subcommands)


def test_the_commands_are_found():
    found = set(commands())
    assert {("score",), ("parent", "generate"), ("demo",), ("demo-verl",), ("rehearse",), ("train",)} <= found


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_knows_h(path, pgsrm):
    extras = {point.name: point.extras for point in integration_commands()}.get(path[0] if path else "", ())
    for module in " ".join(NEEDED[extra] for extra in extras).split():
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    short, long = (pgsrm(*path, option) for option in ("-h", "--help"))
    assert short.status in (0, None)
    assert "sage: pgsrm" in short.out
    assert short.out == long.out
