"""The outcome in words and numbers, by rule: nobody chooses the sentence after seeing the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgsrm_plugin.report.figures import COLOURS, Panel
from pgsrm_plugin.report.run import Run
from pgsrm_plugin.report.stats import Interval, along, difference, first, interval, last, seconds

Groups = Mapping[str, Sequence[Run]]


def show(value: float, panel: Panel) -> str:
    """A value as the page writes it."""
    return f"{100 * value:.1f} %" if panel.percent else f"{value:.3f}"


def summary(groups: Groups, panel: Panel, under: str = "with the {label} reward") -> str:
    """Two sentences: what each label reached, and whether the first differs from the second."""
    parts: list[str] = []
    for label, runs in groups.items():
        start, end = interval(first(runs, panel.metric)).mean, interval(last(runs, panel.metric)).mean
        subject = "" if parts else f" {panel.title} went"
        parts.append(f"{under.format(label=label)},{subject} from {show(start, panel)} to {show(end, panel)}")
    seeds = len(next(iter(groups.values())))
    means = f"means of {seeds} seeds" if seeds > 1 else "one seed"
    sentence = f"{'; '.join(parts)} ({means})."
    return sentence[0].upper() + sentence[1:] + (f" {verdict(groups, panel)}" if len(groups) > 1 else "")


def verdict(groups: Groups, panel: Panel) -> str:
    """Compares the first label's last value with the second's; a difference counts when its interval leaves out 0."""
    (ours, our_runs), (theirs, their_runs) = list(groups.items())[:2]
    gap = difference(our_runs, their_runs, panel.metric)
    if len(our_runs) < 2:
        return (
            f"With one seed nothing can be said about which of the two is better (difference {_gap(gap.mean, panel)})."
        )
    numbers = f"{_gap(gap.mean, panel)}, 95 % interval {_gap(gap.low, panel)} to {_gap(gap.high, panel)}"
    if gap.low > 0:
        return f"{ours} beat {theirs} here: {numbers}."
    if gap.high < 0:
        return f"{ours} did not beat {theirs} here, it ended below: {numbers}."
    return f"{ours} did not beat {theirs} here, nor {theirs} {ours}: {numbers}, which includes 0."


@dataclass(frozen=True)
class Tile:
    """A headline number."""

    name: str
    value: str
    note: str
    colour: str = ""


@dataclass(frozen=True)
class Table:
    """Columns' heads, and a named row of cells a line."""

    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[object]]]


def tiles(groups: Groups, panel: Panel) -> list[Tile]:
    """The headline numbers."""
    start = [value for runs in groups.values() for value in first(runs, panel.metric)]
    cells = [Tile("before", show(interval(start).mean, panel), "where the runs began, mean")]
    for colour, (label, runs) in zip(COLOURS * len(groups), groups.items(), strict=False):
        end = interval(last(runs, panel.metric))
        cells.append(Tile(label, show(end.mean, panel), _range(end, panel, len(runs)), colour))
    if len(groups) > 1:
        (ours, our_runs), (theirs, their_runs) = list(groups.items())[:2]
        gap = difference(our_runs, their_runs, panel.metric)
        span = f"{_gap(gap.low, panel)} to {_gap(gap.high, panel)}" if len(our_runs) > 1 else "one seed"
        cells.append(Tile(f"{ours} \N{MINUS SIGN} {theirs}", _gap(gap.mean, panel), span))
    return cells


def table(groups: Groups, outcomes: Sequence[Panel]) -> Table:
    """Start and end of every outcome, with intervals over seeds, and what the runs cost; cells are (text, note)."""
    head = ["", *(panel.title for panel in outcomes), f"{outcomes[0].title}, mean over the run"]
    head += ["episodes", "wall time", "of it scoring"]
    everyone = [run for runs in groups.values() for run in runs]
    rows = [("start", [(_start(everyone, panel), "") for panel in outcomes] + [("", "")] * 4)]
    for label, runs in groups.items():
        cells = [_cell(last(runs, panel.metric), panel) for panel in outcomes]
        cells.append(_cell(along(runs, outcomes[0].metric), outcomes[0]))
        total, scoring = seconds(runs, "total"), seconds(runs, "reward")
        share = f"{100 * scoring / total:.1f} %" if total else ""
        costs = [f"{runs[0].info.episodes:,}", f"{total:.0f} s" if total else "", share]
        rows.append((label, [*cells, *((cost, "") for cost in costs)]))
    return Table(head, rows)


def seeds_table(groups: Groups, outcomes: Sequence[Panel]) -> Table:
    """The last value of every outcome in every single run."""
    rows = [
        (f"{label}, seed {run.info.seed}", [show(run.metric(p.metric).values[-1], p) for p in outcomes])
        for label, runs in groups.items()
        for run in runs
    ]
    return Table(["", *(panel.title for panel in outcomes)], rows)


def _gap(value: float, panel: Panel) -> str:
    text = f"{100 * value:+.1f} points" if panel.percent else f"{value:+.3f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _range(value: Interval, panel: Panel, seeds: int) -> str:
    return f"{show(value.low, panel)} to {show(value.high, panel)}" if seeds > 1 else "one seed"


def _start(runs: Sequence[Run], panel: Panel) -> str:
    return show(interval(first(runs, panel.metric)).mean, panel)


def _cell(values: Sequence[float], panel: Panel) -> tuple[str, str]:
    value = interval(values)
    return show(value.mean, panel), _range(value, panel, len(values))
