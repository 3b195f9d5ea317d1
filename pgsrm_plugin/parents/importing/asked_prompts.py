"""The prompts that a batch was asked, by the ids that its answers have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pgsrm_plugin.data.files import plain, stream_rows
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.parents.generation.prompts import PromptRow, prompt_row, read_prompts

_IDS = ("custom_id", "item", "id")


def asked_rows(source: str) -> Iterator[PromptRow]:
    """The rows of a file of prompts, a task, or the input of a batch (``custom_id``, ``body``).

    Raises:
        DataError: see :func:`~pgsrm_plugin.parents.generation.prompts.read_prompts`.
    """
    if not source.endswith(".jsonl"):
        yield from read_prompts(source, seen=True)
        return
    for label, row in stream_rows(source):
        body = row.get("body")
        if "prompt" not in row and isinstance(body, Mapping):
            row = {"prompt": body.get("messages"), "custom_id": row.get("custom_id")}
        yield prompt_row(plain(row), label)


def by_id(rows: Sequence[PromptRow], wanted: Iterable[str], column: str | None = None) -> dict[str, PromptRow]:
    """The rows by their id.

    Args:
        wanted: the ids of the answers, of which the column has some.
        column: where the rows keep it; None: ``custom_id``, ``item`` or ``id``, whichever tells the prompts apart.

    Raises:
        DataError: no column does, or two prompts have one id.
    """
    ids, problems = set(wanted), list[str]()
    for name in (column,) if column is not None else _IDS:
        found: dict[str, PromptRow] = {}
        twice = ""
        for row in rows:
            own = _id_of(name)(row)
            if own and found.setdefault(own, row).prompt_id != row.prompt_id:
                twice = f"{name} {own!r} stands for two prompts"
        if ids & found.keys() and not twice:
            return found
        problems.append(twice or (f"{name} has none of the ids of the answers" if found else f"there is no {name}"))
    example = f", e.g. {min(ids)!r}" if ids else ""
    raise DataError(
        f"the prompts cannot be told by the answers' custom_id{example} ({'; '.join(problems)}); name the column with "
        "--id, or give the batch's input as --prompts"
    )


def _id_of(name: str) -> Callable[[PromptRow], str]:
    def own(row: PromptRow) -> str:
        value = row.item if name == "item" else row.columns.get(name, row.extra_info.get(name))
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""

    return own
