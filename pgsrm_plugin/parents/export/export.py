"""A store as training data: the rows of its prompts with their references, on sides that share no prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.parents.export.formats import FORMATS
from pgsrm_plugin.parents.export.references import Answered
from pgsrm_plugin.parents.export.selection import OWN, Reference, Selection, usable
from pgsrm_plugin.parents.export.split import assign, empty_sides
from pgsrm_plugin.parents.generation.prompts import PromptRow


@dataclass
class Exported:
    """Rows by side, and how many rows were left out for which reason."""

    sides: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        return sum(map(len, self.sides.values()))


def build(
    rows: Iterable[PromptRow], answered: Mapping[str, Answered], selection: Selection, form: str = "verl"
) -> Exported:
    """The rows to write: one for each row of the prompts whose prompt has a usable reference.

    Args:
        rows: the store's rows; see :mod:`pgsrm_plugin.parents.export.prompt_rows`.
        answered: by the id of the prompt; prompts without a row get one of their own.
        form: a name of :data:`FORMATS`.

    Raises:
        DataError: nothing is left, a side stays empty, or a row names no split of its own.
    """
    exported = Exported()
    kept: list[tuple[PromptRow, Reference]] = []
    references = {name: usable(one, selection) for name, one in answered.items()}
    missing = dict(answered)
    for row in rows:
        found = references.get(row.prompt_id, "not asked under these settings")
        missing.pop(row.prompt_id, None)
        _sort(row, found, kept, exported)
    for name, one in missing.items():
        _sort(PromptRow(one.prompt, one.item), references[name], kept, exported)
    if not kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in exported.left_out.most_common())
        raise DataError(f"no row has a usable reference ({reasons}); look at `pgsrm parent check`")
    for number, (side, (row, reference)) in enumerate(zip(_sides(kept, selection), kept, strict=True)):
        made = FORMATS[form].row(row, reference, number, side, selection.weight)
        exported.sides.setdefault(side, []).append(made)
    return exported


def _sort(row: PromptRow, found: Reference | str, kept: list[tuple[PromptRow, Reference]], exported: Exported) -> None:
    if isinstance(found, str):
        exported.left_out[found] += 1
    else:
        kept.append((row, found))


def _sides(kept: Sequence[tuple[PromptRow, Reference]], selection: Selection) -> list[str]:
    if selection.shares == OWN:
        return _own_sides([row for row, _ in kept])
    shares = dict(selection.shares) if not isinstance(selection.shares, str) else {}
    if not shares:
        return [""] * len(kept)
    sides = assign([(row.prompt, row.item) for row, _ in kept], shares, selection.by)
    for name in empty_sides(sides, shares):
        raise DataError(
            f"--split: no row fell to {name!r} with a share of {shares[name]:g} of {len(kept)} rows; give it more, or "
            "ask more prompts" + ("" if selection.by == "prompt" else " about more items")
        )
    return sides


def _own_sides(rows: Sequence[PromptRow]) -> list[str]:
    sides, first = [], dict[str, str]()
    for row in rows:
        name = row.extra_info.get("split")
        if not isinstance(name, str) or not name.replace("_", "").replace("-", "").isalnum():
            raise DataError(f"{row.label or 'a prompt'}: --split own needs a name in extra_info.split, not {name!r}")
        if first.setdefault(row.prompt_id, name) != name:
            raise DataError(
                f"{row.label}: its prompt stands on the sides {first[row.prompt_id]!r} and {name!r} of the rows' own "
                "split; use --split train=0.9,val=0.1"
            )
        sides.append(name)
    return sides
