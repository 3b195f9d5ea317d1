"""Sample rollouts: what the policy wrote first and last, with every term's value."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.report import html
from pgsrm_plugin.report.run import ROLLOUTS, Run

Row = Mapping[str, Any]
_NEEDED = ("step", "set", "prompt", "response", "references", "reward")


def samples(run: Run, split: str, count: int = 8) -> str:
    """A table of ``count`` prompts of one set, evenly spread, at the run's first and last logged step.

    Raises:
        DataError: a rollout lacks a key, or the set has no rollouts.
    """
    before, after = _ends(run, split)
    shared = [prompt for prompt in before if prompt in after]
    if not shared:
        raise DataError(f"{run.name}: the first and the last rollouts of set {split!r} share no prompt")
    every = max(1, len(shared) // count)
    rows = [_row(before[prompt], after[prompt]) for prompt in shared[::every][:count]]
    return html.table(["prompt", "parent", "before", "reward", "after", "reward"], rows, "samples")


def _ends(run: Run, split: str) -> tuple[dict[str, Row], dict[str, Row]]:
    for number, row in enumerate(run.rollouts, start=1):
        for key in _NEEDED:
            if key not in row:
                raise DataError(f"{run.name}: {ROLLOUTS}:{number}: a rollout needs {key!r}")
    rows = [row for row in run.rollouts if row["set"] == split]
    if not rows:
        sets = sorted({str(row["set"]) for row in run.rollouts})
        raise DataError(f"{run.name}: {ROLLOUTS} has no rollouts of set {split!r} (it has: {', '.join(sets)})")
    ends = min(row["step"] for row in rows), max(row["step"] for row in rows)
    early, late = ({row["prompt"]: row for row in rows if row["step"] == step} for step in ends)
    return early, late


def _row(before: Row, after: Row) -> str:
    references = ", ".join(map(str, before["references"]))
    cells = [f'<td class="text">{escape(str(before["prompt"]))}</td>', f"<td>{escape(references)}</td>"]
    for row in (before, after):
        cells += [
            f'<td class="text">{escape(str(row["response"])) or "<em>empty</em>"}</td>',
            f"<td>{_terms(row)}</td>",
        ]
    return f"<tr>{''.join(cells)}</tr>"


def _terms(row: Row) -> str:
    """The total, and each raw term below it."""
    terms = [
        f"{escape(name.removeprefix('reward/'))} {value:.3g}"
        for name, value in row.items()
        if name.startswith("reward/") and name.count("/") == 1 and isinstance(value, int | float)
    ]
    return f"{row['reward']:.3f}<small>{'<br>'.join(terms)}</small>"
