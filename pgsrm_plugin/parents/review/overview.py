"""A parent's answers on one self-contained HTML page: what is wrong with them, how long they are, how they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from pgsrm_plugin.data.whole import write_whole
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.parents.export.references import Answered, describe_settings, settings_in
from pgsrm_plugin.parents.review.agreement import Agreements
from pgsrm_plugin.parents.review.quality import CHECKS, Quality
from pgsrm_plugin.report.summary import Tile
from pgsrm_plugin.report.templates import environment
from pgsrm_plugin.text.clean import prompt_text

_CUT = 400
_BINS = 10
_SHOWN = 8


@dataclass(frozen=True)
class ParentPage:
    """What the page shows; everything on it comes from here.

    Attributes:
        name: the store's.
        prompts: with their answers.
        agreements: None where they were not measured.
    """

    name: str
    quality: Quality
    prompts: Sequence[Answered]
    agreements: Agreements | None


def write_parent_page(out: Path, page: ParentPage) -> Path:
    """Writes the page whole or not at all.

    Raises:
        DataError: the place cannot be written to.
    """
    try:
        write_whole(out, render(page).encode("utf-8", "replace"))
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}") from None
    return out


def render(page: ParentPage) -> str:
    """The page as text."""
    pages = environment(__package__)
    pages.filters["cut"] = _cut
    return pages.get_template("overview.html.j2").render(
        title=f"Parent's answers: {page.name}",
        lead=_lead(page),
        tiles=_tiles(page),
        checks=_checks(page.quality),
        examples=[(name, page.quality.examples[name]) for name in CHECKS if name in page.quality.examples],
        lengths=_lengths(page),
        agreement=_agreement(page),
        settings=_settings(page),
    )


@dataclass(frozen=True)
class Histogram:
    """Bars in a table: numbers to read, and nothing to load.

    Attributes:
        bars: each with its name, its count and its width in rem.
        note: what is counted.
        least: the prompts of the least values, as (value, prompt, answers).
    """

    bars: Sequence[Mapping[str, str]]
    note: str
    least: Sequence[tuple[str, str, Sequence[str]]] = ()


def _usable(page: ParentPage) -> int:
    return sum(bool(one.references) for one in page.prompts)


def _lead(page: ParentPage) -> str:
    usable, prompts = _usable(page), len(page.prompts)
    sentence = f"{usable} of {prompts} prompts have a reference. "
    worst = [f"{count} {name}" for name, count in page.quality.counts.most_common(3)]
    return sentence + (f"The checks found {', '.join(worst)}." if worst else "The checks found nothing.")


def _tiles(page: ParentPage) -> list[Tile]:
    quality, prompts = page.quality, len(page.prompts)
    declined = quality.counts["refused"] + quality.counts["refusal"]
    tiles = [
        Tile("prompts", f"{prompts:,}", f"{quality.answers:,} answers"),
        Tile("with a reference", _percent(_usable(page), prompts), f"{_usable(page):,} prompts"),
        Tile("refused", _percent(declined, quality.answers), "of answers"),
        Tile("truncated", _percent(quality.counts["truncated"], quality.answers), "ran into max_tokens"),
    ]
    values = [value for value, _ in _valued(page)]
    if values:
        tiles.append(Tile("agreement", f"{fmean(values):.3f}", f"mean of {len(values):,} prompts"))
    return tiles


def _checks(quality: Quality) -> list[tuple[str, Sequence[str]]]:
    """Repeated references are counted in prompts, so they are no share of the answers."""
    return [
        (
            name,
            [
                f"{quality.counts[name]:,}",
                "" if name == "repeated" else _percent(quality.counts[name], quality.answers),
                meaning,
            ],
        )
        for name, meaning in CHECKS.items()
    ]


def _lengths(page: ParentPage) -> Histogram | None:
    lengths = [len(text.split()) for one in page.prompts for text in one.references]
    if not lengths:
        return None
    note = f"Words. Median {median(lengths):g}, mean {fmean(lengths):.1f}, longest {max(lengths):,}."
    return Histogram(_bars(lengths, 0, max(max(lengths), 1), whole=True), note)


def _agreement(page: ParentPage) -> Histogram | None:
    valued = _valued(page)
    if not valued or page.agreements is None:
        return None
    values = [value for value, _ in valued]
    ranked = sorted(valued, key=lambda pair: pair[0])
    least = [(f"{value:.3f}", prompt_text(one.prompt), one.references) for value, one in ranked[:_SHOWN]]
    note = f"Mean pairwise cosine of a prompt's answers, repeats included, by {page.agreements.encoder}."
    return Histogram(_bars(values, min(0.0, *values), 1.0), note, least)


def _valued(page: ParentPage) -> list[tuple[float, Answered]]:
    if page.agreements is None:
        return []
    return [(value, one) for one in page.prompts if (value := page.agreements.of(one)) is not None]


def _settings(page: ParentPage) -> list[tuple[str, str]]:
    found = settings_in(answer for one in page.prompts for answer in one.answers)
    return [(own, f"{config.engine} {describe_settings(config)}") for own, (config, _) in found.items()]


def _bars(values: Sequence[float], low: float, high: float, whole: bool = False) -> list[Mapping[str, str]]:
    width = (high - low) / _BINS
    width = max(1, -(-int(high - low + 1) // _BINS)) if whole else width or 1.0
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, int((value - low) / width))] += 1
    bars: list[Mapping[str, str]] = []
    for place, count in enumerate(counts):
        start = low + place * width
        if whole and start > high:
            break
        name = f"{start:.0f}" if whole and width == 1 else f"{start:.3g} to {start + width - whole:.3g}"
        bars.append({"name": name, "count": f"{count:,}", "width": f"{30 * count / max(counts):.2f}"})
    return bars


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _cut(text: str, limit: int = _CUT) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
