"""Sample rollouts: what the policy wrote first and last, with every term's value."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.report import html
from pgsrm_plugin.report.run import ROLLOUTS, Run

Row = Mapping[str, Any]
_NEEDED = ("split", "when", "prompt", "response", "references")


def samples(run: Run, split: str, count: int = 8) -> str:
    """A table of ``count`` prompts of a split, evenly spread, as answered at the start and at the end of training.

    Raises:
        DataError: a rollout lacks a key, or the split has no rollouts at start and end.
    """
    before, after = (_answers(run, split, when) for when in ("start", "end"))
    shared = [prompt for prompt in before if prompt in after]
    if not shared:
        raise DataError(f"{run.name}: {ROLLOUTS} has no prompt of {split!r} that was answered at start and end")
    every = max(1, len(shared) // count)
    rows = [_row(before[prompt], after[prompt]) for prompt in shared[::every][:count]]
    return html.table(["prompt", "parent", "before", "scores", "after", "scores"], rows, "samples")


def _answers(run: Run, split: str, when: str) -> dict[str, Row]:
    answers = {}
    for number, row in enumerate(run.rollouts, start=1):
        for key in _NEEDED:
            if key not in row:
                raise DataError(f"{run.name}: {ROLLOUTS}:{number}: a rollout needs {key!r}")
        if (row["split"], row["when"]) == (split, when):
            answers[str(row["prompt"])] = row
    return answers


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
    """Each term's raw value."""
    shown = [
        f"{escape(name.removeprefix('reward/').replace('_', ' '))} {value:.2f}"
        for name, value in row.items()
        if f"{name}/weighted" in row
    ]
    return f"<small>{'<br>'.join(shown)}</small>"
