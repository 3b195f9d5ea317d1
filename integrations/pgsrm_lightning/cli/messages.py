"""One sentence for what jsonargparse says about a mistake in several.

Its errors carry no key, type or value besides the text, so the text is read. What no pattern fits is shown as it is.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Sequence

from lightning.pytorch.cli import LightningArgumentParser

_UNKNOWN = re.compile(r"(?:unrecognized arguments: --|(?:Group '([\w.]+)' does not accept option|Option) ')([^\s=']+)")
_KEY = re.compile(r'Parser key "([\w.]+)":\s')
_OWNER = re.compile(r"given class_path '([\w.]+)':\s+Option")
_EXPECTED = re.compile(r"Expected an? (?:<class '(.+?)'>|typing\.Literal\[(.+?)\]|([^\n]+?))(?:\. Got|\n|$)")
_GIVEN = re.compile(r"(?:Got|Given) value: ?([^\n]*)")


def known_keys(parser: LightningArgumentParser) -> list[str]:
    """Every key that a config file or an option may give."""
    return [action.dest for action in parser._actions]


def explain(message: str, known: Sequence[str], program: str) -> str:
    """One sentence for a parser's message; a mistyped key comes with the nearest valid one.

    Args:
        program: the command, e.g. ``pgsrm train``.
    """
    unknown, key = _UNKNOWN.search(message), _KEY.search(message)
    if unknown:
        prefix = unknown[1] or (key[1] if key else "")
        named, owner = f"{prefix}.{unknown[2]}".lstrip("."), _OWNER.search(message)
        near = difflib.get_close_matches(named, _parameters(owner[1], prefix) if owner else known, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]!r}?" if near else f"see `{program} --help`"
        return f"there is no setting {named!r}; {advice}"
    if key is None:
        return message.splitlines()[0]
    expected = [name or (f"one of {words}" if words else other) for name, words, other in _EXPECTED.findall(message)]
    if not expected:
        return message
    given = _GIVEN.search(message)
    kinds = " or ".join(dict.fromkeys("null" if kind == "NoneType" else kind for kind in expected))
    return f"{key[1]}: expected {kinds}" + (f", not {given[1]!r}" if given else "")


def _parameters(path: str, prefix: str) -> list[str]:
    """The keys below a prefix that a class takes."""
    module, _, name = path.rpartition(".")
    return [f"{prefix}.{each}" for each in inspect.signature(getattr(importlib.import_module(module), name)).parameters]
