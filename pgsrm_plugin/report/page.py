"""The page: runs in, one self-contained HTML file out. It opens offline and asks nothing of the network."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

from pgsrm_plugin.report.figures import COLOURS, Panel, curve, plotly_script
from pgsrm_plugin.report.html import definitions
from pgsrm_plugin.report.outcome import Groups, seeds_table, summary, table, tiles
from pgsrm_plugin.report.run import Run
from pgsrm_plugin.report.samples import samples
from pgsrm_plugin.report.stats import by_label, common

INTERVALS = "Mean over seeds; below it the 95 % percentile-bootstrap interval over seeds (10,000 resamples)."


@dataclass(frozen=True)
class Page:
    """What the page says besides the numbers. All of it is plain text and gets escaped.

    Attributes:
        title: the heading.
        intro: one paragraph on what was done.
        outcomes: the metrics of the outcome table; the first decides the summary.
        panels: the metrics to draw; one that no run logged is left out.
        sections: further paragraphs as (heading, text).
        sample_sets: rollouts to show, as (set name, how to call it).
        command: what to type to get this page again.
        under: how a sentence speaks of a label's runs.
    """

    title: str
    intro: str
    outcomes: Sequence[Panel]
    panels: Sequence[Panel]
    sections: Sequence[tuple[str, str]] = ()
    sample_sets: Sequence[tuple[str, str]] = ()
    command: str = ""
    under: str = "with the {label} reward"


def write_report(runs: Sequence[Run], out: str | Path, page: Page) -> Path:
    """Writes the report of any labelled runs; the file appears whole or not at all.

    Raises:
        DataError: there are no runs, a run lacks an outcome's metric, or runs of one label differ in length.
    """
    return write_whole(Path(out), render(by_label(runs), page))


def write_whole(out: Path, content: str) -> Path:
    """Writes a page; the file appears whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as stream:
            stream.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, out)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return out


def render(groups: Groups, page: Page) -> str:
    """The page as text."""
    body = "\n".join(
        [
            f"<h1>{escape(page.title)}</h1>",
            f'<p class="lead">{escape(summary(groups, page.outcomes[0], page.under))}</p>',
            f'<p class="intro">{escape(page.intro)}</p>',
            tiles(groups, page.outcomes[0]),
            "<h2>Learning curves</h2>",
            _curves(groups, page.panels),
            "<h2>Outcome</h2>",
            table(groups, page.outcomes),
            f'<p class="note">{INTERVALS}</p>',
            f"<details><summary>Every run</summary>{seeds_table(groups, page.outcomes)}</details>",
            *(f"<h2>{escape(heading)}</h2><p>{escape(text)}</p>" for heading, text in page.sections),
            _samples(groups, page.sample_sets),
            _provenance(groups, page.command),
        ]
    )
    return document(page.title, body)


def document(title: str, body: str) -> str:
    """A whole HTML file around a body: style and plotly.js are inlined. ``title`` gets escaped, ``body`` is HTML."""
    style = resources.files("pgsrm_plugin.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n"
        f"<script>{plotly_script()}</script>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _curves(groups: Groups, panels: Sequence[Panel]) -> str:
    legend = "".join(
        f'<span><i class="dot" style="background:{colour}"></i>{escape(label)}</span>'
        for colour, label in zip(COLOURS * len(groups), groups, strict=False)
    )
    figures = []
    for number, panel in enumerate(panels):
        drawn = curve(panel, groups, div_id=f"panel-{number}")
        if drawn:
            caption = f"<figcaption>{escape(panel.note)}</figcaption>" if panel.note else ""
            figures.append(f"<figure><h3>{escape(panel.title)}</h3>{drawn}{caption}</figure>")
    seeds = max(len(runs) for runs in groups.values())
    how = f"Line: mean of {seeds} seeds. Band: least to greatest of them." if seeds > 1 else "One seed."
    return (
        f'<div class="legend">{legend}<span class="note">{how}</span></div><div class="panels">{"".join(figures)}</div>'
    )


def _samples(groups: Groups, sets: Sequence[tuple[str, str]]) -> str:
    if not sets:
        return ""
    parts = ["<h2>Rollouts, before and after</h2>"]
    for position, (split, name) in enumerate(sets):
        for label, runs in groups.items():
            opened = " open" if position == 0 else ""
            heading = f"{label}, seed {runs[0].info.seed}: {name}"
            parts.append(f"<details{opened}><summary>{escape(heading)}</summary>{samples(runs[0], split)}</details>")
    return "".join(parts)


def _provenance(groups: Groups, command: str) -> str:
    everyone = [run for runs in groups.values() for run in runs]
    specs = "".join(
        f"<div><h3>{escape(label)}</h3><pre>{escape(runs[0].info.spec.strip())}</pre></div>"
        for label, runs in groups.items()
    )
    timings = "".join(
        f"<div><h3>{escape(label)}, mean seconds of a run</h3>{definitions(_mean_seconds(runs).items())}</div>"
        for label, runs in groups.items()
    )
    again = f"<h2>Again</h2><pre>{escape(command)}</pre>" if command else ""
    return "".join(
        [
            f'<h2>Reward specs</h2><div class="columns">{specs}</div>',
            f'<h2>Where the time went</h2><div class="columns">{timings}</div>',
            '<h2>Settings, versions, machine</h2><div class="columns">',
            f"<div><h3>Settings of every run</h3>{definitions(common(everyone, 'settings').items())}</div>",
            f"<div><h3>Versions</h3>{definitions(common(everyone, 'versions').items())}</div>",
            f"<div><h3>Machine</h3>{definitions(common(everyone, 'machine').items())}</div></div>",
            again,
        ]
    )


def _mean_seconds(runs: Sequence[Run]) -> dict[str, str]:
    return {
        name: f"{sum(run.info.seconds.get(name, 0.0) for run in runs) / len(runs):.1f}" for name in runs[0].info.seconds
    }
