"""One sentence for what jsonargparse says about a mistake in several."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Sequence

from lightning.pytorch.cli import LightningArgumentParser

PROGRAM = "pgsrm train"


def known_keys(parser: LightningArgumentParser) -> list[str]:
    """Every key that a config file or an option may give."""
    return [action.dest for action in parser._actions]


def explain(message: str, known: Sequence[str]) -> str:
    """One sentence for a parser's message; a mistyped key comes with the nearest valid one."""
    unknown = _unknown_key(message)
    if unknown is not None:
        key, known = unknown[0], unknown[1] or known
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        return f"there is no setting {key!r}" + (
            f"; did you mean {near[0]!r}?" if near else f"; see `{PROGRAM} --help`"
        )
    bad = re.search(r'Parser key "([\w.]+)":\s', message)
    if bad is None:
        return message.splitlines()[0]
    expected = [_plain_type(kind) for kind in re.findall(r"Expected an? ([^\n]+?)(?:\. Got|\n|$)", message)]
    given = re.search(r"(?:Got value|Given value): ?([^\n]*)", message)
    shown = f", not {given[1]!r}" if given else ""
    return f"{bad[1]}: expected {' or '.join(dict.fromkeys(expected))}{shown}" if expected else message


def _unknown_key(message: str) -> tuple[str, list[str]] | None:
    """The key that a message calls unknown, and the valid ones where they belong to a class of its own."""
    option = re.search(r"unrecognized arguments: --([^\s=]+)", message)
    if option:
        return option[1], []
    group = re.search(r"Group '([\w.]+)' does not accept option '([^']+)'", message)
    if group:
        return f"{group[1]}.{group[2]}", []
    refused = re.search(r"Option '([^']+)' is not accepted", message)
    if not refused:
        return None
    parent = re.search(r'Parser key "([\w.]+)":\s', message)
    owner = re.search(r"given class_path '([\w.]+)':\s+Option", message)
    prefix = f"{parent[1]}." if parent else ""
    if owner is None:
        return prefix + refused[1], []
    return prefix + refused[1], [prefix + name for name in inspect.signature(_imported(owner[1])).parameters]


def _imported(path: str) -> type:
    module, _, name = path.rpartition(".")
    imported: type = getattr(importlib.import_module(module), name)
    return imported


def _plain_type(kind: str) -> str:
    literal = re.fullmatch(r"typing\.Literal\[(.*)\]", kind)
    if literal:
        return f"one of {literal[1]}"
    named = re.fullmatch(r"<class '(.*)'>", kind)
    return {"NoneType": "null"}.get(named[1], named[1]) if named else kind
