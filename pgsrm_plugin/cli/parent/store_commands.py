"""``pgsrm parent status``, ``show``, ``merge`` and ``repair``: what a store holds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsrm_plugin.cli.parent.options import Store
from pgsrm_plugin.errors import DataError

if TYPE_CHECKING:
    from pgsrm_plugin.asking.store.answers import Answer


def status(store: Store) -> None:
    """Say what a store holds: prompts, answers by status, tokens, settings."""
    from rich.console import Console
    from rich.table import Table

    from pgsrm_plugin.asking.store.answers import STATUSES
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.cli.tables import show_table
    from pgsrm_plugin.parents.export.prompt_rows import kept_rows
    from pgsrm_plugin.parents.export.references import describe_settings, settings_in

    tokens = [0, 0]

    def counted(answers: Iterable[Answer]) -> Iterable[Answer]:
        for answer in answers:
            tokens[0] += answer.prompt_tokens or 0
            tokens[1] += answer.completion_tokens or 0
            yield answer

    with ParentStore.open(store, writable=False) as opened:
        found = settings_in(counted(opened.answers()))
        rows = sum(1 for _ in kept_rows(opened.folder))
        answers = len(opened)
    typer.echo(f"{store}: {answers} answers, {rows} rows of prompts, {tokens[0]} + {tokens[1]} tokens")
    if not found:
        return
    used = [one for one in STATUSES if any(counts[one] for _, counts in found.values())]
    table = Table(box=None, pad_edge=False)
    table.add_column("settings", no_wrap=True)
    for one in used:
        table.add_column(one, justify="right", no_wrap=True)
    table.add_column("parent", overflow="fold")
    for own, (config, counts) in found.items():
        table.add_row(own, *(str(counts[one]) for one in used), f"{config.engine} {describe_settings(config)}")
    show_table(table, Console(highlight=False, markup=False))


def show(
    store: Store,
    key: Annotated[str | None, typer.Argument(help="An answer's key, or the beginning of it.")] = None,
    status: Annotated[str | None, typer.Option(help="Only answers of this status, e.g. refused.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 5,
) -> None:
    """Show answers with all that is known of them: one by its key, or the first of a status."""
    from itertools import islice

    from pgsrm_plugin.asking.store.answers import STATUSES
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.errors import did_you_mean

    if status is not None and status not in STATUSES:
        raise DataError(f"there is no status {status!r}{did_you_mean(status, STATUSES)} ({', '.join(STATUSES)})")
    with ParentStore.open(store, writable=False) as opened:
        if key is not None:
            typer.echo(_shown(_by_key(opened.answers(), key.lower(), store)))
            return
        chosen = (answer for answer in opened.answers() if status in (None, answer.status))
        shown = [_shown(answer) for answer in islice(chosen, limit)]
    typer.echo("\n\n".join(shown) if shown else f"{store} has no answer" + (f" of status {status}" if status else ""))


def _by_key(answers: Iterable[Answer], key: str, store: Path) -> Answer:
    """The answer whose key begins so; the nearest key has the most leading characters in common."""
    found: list[Answer] = []
    nearest, shared = "", 0
    for answer in answers:
        if answer.key.startswith(key):
            found.append(answer)
        common = next((i for i, (a, b) in enumerate(zip(answer.key, key, strict=False)) if a != b), len(key))
        if common > shared:
            nearest, shared = answer.key, common
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(answer.key[: len(key) + 4] for answer in found[:4])
        raise DataError(f"{len(found)} keys begin with {key!r} ({listed} ...); give more of it")
    hint = f"; the nearest is {nearest[:16]!r}" if nearest else ""
    raise DataError(f"{store} has no answer with the key {key!r}{hint}")


def _shown(answer: Answer) -> str:
    from pgsrm_plugin.parents.export.references import describe_settings, settings_id

    tokens = f"{answer.prompt_tokens} + {answer.completion_tokens}"
    lines = {
        "key": answer.key,
        "status": answer.status + (f": {answer.error}" if answer.error else ""),
        "parent": f"{answer.engine} {describe_settings(answer.config)}",
        "settings": settings_id(answer.config),
        "served as": answer.served_model,
        "sample": f"{answer.sample}" + (f" of item {answer.item}" if answer.item else ""),
        "when": f"{answer.created}, {tokens} tokens, finish reason {answer.finish_reason}, {answer.attempts} attempts",
    }
    turns = [f"[{turn['role']}] {turn['content']}" for turn in answer.request.messages(answer.config)]
    parts = [
        "\n".join(f"{name:<10}{value}" for name, value in lines.items() if value),
        *turns,
        f"[parent] {answer.text}",
    ]
    if answer.reference is not None and answer.reference != answer.text:
        parts.append(f"[reference] {answer.reference}")
    return "\n".join(parts)


def merge(
    store: Store,
    others: Annotated[list[Path], typer.Argument(metavar="OTHER...", help="Stores whose answers it takes over.")],
) -> None:
    """Take over the answers of other stores: what is new, or has a reference where this one has a failure."""
    from pgsrm_plugin.asking.store.store import ParentStore
    from pgsrm_plugin.parents.export.prompt_rows import keep_rows, kept_rows

    for other in others:
        if other.resolve() == store.resolve():
            raise DataError(f"{other} is the store itself")
    with ParentStore.open(store, create=True) as target:
        for other in others:
            with ParentStore.open(other, writable=False) as source:
                taken = target.merge(source)
                rows = keep_rows(target.folder, kept_rows(source.folder))
            typer.echo(f"{taken} answers and {rows} rows of prompts taken over from {other}")
        typer.echo(f"{store} has {len(target)} answers")


def repair(store: Store) -> None:
    """Move damaged records aside, byte for byte, and keep all the others."""
    from pgsrm_plugin.asking.store.repair import repair

    done = repair(store)
    typer.echo(f"{store}: {done.kept} intact records kept, {done.damaged} damaged ones moved aside")
    if done.aside is not None:
        typer.echo(f"  the file as it was: {done.aside}")
