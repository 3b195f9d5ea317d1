"""What a rehearsal showed: read from the files that verl wrote, printed as tables, kept as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pgsrm_plugin.audit.card import Card
from pgsrm_plugin.cli.audit.on_screen import show_card
from pgsrm_plugin.cli.tables import show_table
from pgsrm_verl.rehearsal.scaling import Change

_TIMINGS = ("step", "gen", "reward", "old_log_prob", "ref", "values", "adv", "update_critic", "update_actor")
_SHOWN_CHARACTERS = 90
_OURS = re.compile(r"pgsrm_plugin\.errors\.(\w+Error): (.+)")
_RAISED = re.compile(r"^(?:ray\.exceptions\.RayTaskError\()?(?:[\w.]+\.)?(\w+(?:Error|Exception|Interrupt))\)?: (.+)")


@dataclass(frozen=True)
class Outcome:
    """A rehearsal that ran to its end.

    Attributes:
        metrics: verl's, one dict a step.
        rollouts: training responses with prompt ("input"), "output", "gts" and "score".
        validation: validation responses, with every reward term of theirs.
        checkpoints: names of the folders written.
        card: what an audit of the reward on the recipe's rows found; None where there was none, for ``no_card``.
        gate_failures: what the card does not keep to.
    """

    recipe: str
    seconds: float
    swapped: Mapping[str, str]
    changes: Sequence[Change]
    metrics: Sequence[Mapping[str, float]]
    rollouts: Sequence[Mapping[str, Any]]
    validation: Sequence[Mapping[str, Any]]
    checkpoints: Sequence[str]
    card: Card | None = None
    no_card: str = ""
    gate_failures: Sequence[str] = ()

    def write_json(self, path: Path) -> None:
        """Writes everything that is known."""
        card = None if self.card is None else self.card.as_dict()
        path.write_text(json.dumps({**asdict(self), "card": card}, indent=1, default=str) + "\n")

    @property
    def has_critic(self) -> bool:
        return any("critic/vf_loss" in step for step in self.metrics)

    def terms(self) -> dict[str, tuple[float, float, float]]:
        """Mean, least and greatest of the reward and of each of its terms over all responses that verl reported."""
        found: dict[str, list[float]] = {"reward": [row["score"] for row in (*self.rollouts, *self.validation)]}
        for row in self.validation:
            for name, value in row.items():
                if name.startswith("pgsrm/") and isinstance(value, int | float):
                    found.setdefault(name, []).append(value)
        summary = {
            name: (sum(values) / len(values), min(values), max(values)) for name, values in found.items() if values
        }
        for name, value in (self.metrics[-1] if self.metrics else {}).items():
            if name.startswith("pgsrm/") and name.endswith("/mean") and name[: -len("/mean")] not in summary:
                stem = name[: -len("/mean")]
                summary[stem] = (
                    value,
                    self.metrics[-1].get(f"{stem}/min", value),
                    self.metrics[-1].get(f"{stem}/max", value),
                )
        return summary


def read_outcome(
    folder: Path,
    recipe: str,
    seconds: float,
    swapped: Mapping[str, str],
    changes: Sequence[Change],
    card: Card | None = None,
    no_card: str = "",
    gate_failures: Sequence[str] = (),
) -> Outcome:
    """Reads a rehearsal's folder."""
    return Outcome(
        recipe,
        seconds,
        swapped,
        changes,
        _metrics(folder / "metrics.jsonl"),
        _generations(folder / "rollouts"),
        _generations(folder / "validation"),
        sorted(path.name for path in (folder / "checkpoints").glob("global_step_*")),
        card,
        no_card,
        gate_failures,
    )


def show(outcome: Outcome, console: Console) -> None:
    """Prints the outcome."""
    rewarded = (_terms(outcome), _rollouts(outcome)) if outcome.rollouts else ()
    for table in (_swapped(outcome), *rewarded, _steps(outcome)):
        show_table(table, console)
    if not outcome.rollouts:
        console.print(f"{len(outcome.metrics)} steps, {_saved(outcome)}; {outcome.seconds:.0f} s. Losses mean nothing.")
        return
    if outcome.card is not None:
        show_card(outcome.card, console)
    else:
        console.print(f"No reward card: {outcome.no_card}.", markup=False)
    console.print(
        f"{len(outcome.metrics)} steps, {len(outcome.validation)} validation responses, {_saved(outcome)}; "
        f"{outcome.seconds:.0f} s. "
        "Rewards of a random model mean nothing; that they are computed, differ, and train it is what was shown."
    )


def _saved(outcome: Outcome) -> str:
    return f"checkpoint {outcome.checkpoints[-1]}" if outcome.checkpoints else "[red]no checkpoint[/]"


def failure(output: str) -> tuple[bool, str]:
    """Why verl stopped, in one sentence, and whether the recipe (or its data) is to blame for certain."""
    ours = _OURS.findall(output)
    if ours:
        kind, message = ours[-1]
        return kind in ("SpecError", "DataError", "UnscorableError"), _plain(message)
    raised = [match for line in output.splitlines() if (match := _RAISED.match(_plain(line)))]
    if raised:
        return False, f"{raised[-1][1]}: {raised[-1][2]}"
    lines = [line for line in output.splitlines() if line.strip()]
    return False, _plain(lines[-1]) if lines else "verl said nothing"


def _plain(line: str) -> str:
    line = re.sub(r"\x1b\[[0-9;]*m", "", line)
    return re.sub(r"^\([^()]* pid=[^()]*\) ", "", line).strip()


def _metrics(path: Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    steps: dict[int, dict[str, float]] = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        steps.setdefault(entry["step"], {}).update(
            {name: float(value) for name, value in entry["data"].items() if isinstance(value, int | float)}
        )
    return [steps[step] for step in sorted(steps) if step > 0]


def _generations(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.jsonl"), key=lambda path: int(path.stem) if path.stem.isdigit() else 0)
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def _swapped(outcome: Outcome) -> Table:
    table = Table(title=f"Rehearsal of {outcome.recipe}: what was swapped", title_justify="left")
    for name in ("the recipe has", "here", "why"):
        table.add_column(name, overflow="fold")
    for name, value in outcome.swapped.items():
        table.add_row(escape(name), escape(value), "")
    for change in outcome.changes:
        if change.tells and not (change.key.startswith("critic.") and not outcome.has_critic):
            was = "" if change.was is None else f"={change.was}"
            table.add_row(escape(f"{change.key}{was}"), escape(str(change.value)), change.why)
    return table


def _terms(outcome: Outcome) -> Table:
    table = Table("reward term", "mean", "min", "max", title="Reward", title_justify="left")
    for name, values in outcome.terms().items():
        table.add_row(name, *(f"{value:.4f}" for value in values))
    return table


def _rollouts(outcome: Outcome) -> Table:
    table = Table("prompt", "response", "score", title="Rollouts", title_justify="left")
    first = {row["input"]: row for row in reversed(outcome.rollouts)}
    for row in list(first.values())[:4]:
        table.add_row(_short(row["input"]), _short(row["output"]), f"{row['score']:.4f}")
    return table


def _steps(outcome: Outcome) -> Table:
    names = {"reward": "critic/score/mean", "response tokens": "response_length/mean"}
    names |= {"loss": "train/loss", "gradient's norm": "train/grad_norm", "validation loss": "val/loss"}
    names |= {f"{name}, s": f"timing_s/{name}" for name in _TIMINGS}
    table = Table("", *(f"step {i + 1}" for i in range(len(outcome.metrics))), title="Steps", title_justify="left")
    for label, name in names.items():
        if any(name in step for step in outcome.metrics):
            table.add_row(label, *(f"{step[name]:.3g}" if name in step else "-" for step in outcome.metrics))
    return table


def _short(text: str) -> Text:
    line = " ".join(text.split())
    return Text(line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…")
