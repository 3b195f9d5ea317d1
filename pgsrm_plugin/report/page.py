"""The page: runs in, one self-contained HTML file out. It opens offline and asks nothing of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Template

from pgsrm_plugin.data.whole import write_whole
from pgsrm_plugin.report.figures import Panel, coloured, curves
from pgsrm_plugin.report.run import Run
from pgsrm_plugin.report.samples import samples
from pgsrm_plugin.report.stats import by_label, common
from pgsrm_plugin.report.summary import Groups, seeds_table, summary, table, tiles
from pgsrm_plugin.report.templates import environment


@dataclass(frozen=True)
class Page:
    """What the page says besides the numbers. All text is plain and gets escaped.

    Attributes:
        title: the heading.
        outcomes: the metrics of the outcome table; the first decides the summary.
        panels: the metrics to draw; one that no run logged is left out.
        sample_sets: rollouts to show, as (set name, how to call it).
        command: what to type to get this page again.
        under: how a sentence speaks of a label's runs.
        template: extends ``report.html.j2`` and fills its blocks ``intro``, on what was done, and ``method``, further
            sections; None: a page without either.
        facts: what the template is given besides.
    """

    title: str
    outcomes: Sequence[Panel]
    panels: Sequence[Panel]
    sample_sets: Sequence[tuple[str, str]] = ()
    command: str = ""
    under: str = "with the {label} reward"
    template: Template | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


def write_report(runs: Sequence[Run], out: str | Path, page: Page) -> Path:
    """Writes the report of any labelled runs; the file appears whole or not at all.

    Raises:
        DataError: there are no runs, a run lacks an outcome's metric, or runs of one label differ in length.
    """
    return write_page(Path(out), render(by_label(runs), page))


def write_page(out: Path, content: str) -> Path:
    """Writes a page; the file appears whole or not at all. What UTF-8 cannot hold becomes a question mark."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, content.encode("utf-8", "replace"))
    return out


def render(groups: Groups, page: Page) -> str:
    """The page as text."""
    everyone = [run for runs in groups.values() for run in runs]
    template = page.template or environment(__package__).get_template("report.html.j2")
    return template.render(
        {
            **page.facts,
            "title": page.title,
            "command": page.command,
            "lead": summary(groups, page.outcomes[0], page.under),
            "tiles": tiles(groups, page.outcomes[0]),
            "seeds": max(len(runs) for runs in groups.values()),
            "labels": coloured(groups),
            "figures": curves(page.panels, groups, "panel"),
            "outcome": table(groups, page.outcomes),
            "every_run": seeds_table(groups, page.outcomes),
            "sample_sets": _samples(groups, page.sample_sets),
            "specs": [(label, runs[0].info.spec.strip()) for label, runs in groups.items()],
            "timings": [(label, _mean_seconds(runs)) for label, runs in groups.items()],
            "common": {name: common(everyone, name) for name in ("settings", "versions", "machine")},
        }
    )


def _samples(groups: Groups, sets: Sequence[tuple[str, str]]) -> list[dict[str, object]]:
    return [
        {
            "is_open": position == 0,
            "heading": f"{label}, seed {runs[0].info.seed}: {name}",
            "samples": samples(runs[0], split),
        }
        for position, (split, name) in enumerate(sets)
        for label, runs in groups.items()
    ]


def _mean_seconds(runs: Sequence[Run]) -> dict[str, str]:
    return {
        name: f"{sum(run.info.seconds.get(name, 0.0) for run in runs) / len(runs):.1f}" for name in runs[0].info.seconds
    }
