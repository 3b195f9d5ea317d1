"""A parent's answers on one self-contained HTML page: what is wrong with them, how long they are, how they agree."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from statistics import fmean, median

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.parents.export.references import Answered, describe_settings, settings_in
from pgsrm_plugin.parents.review.agreement import Agreements
from pgsrm_plugin.parents.review.quality import CHECKS, Finding, Quality
from pgsrm_plugin.report import html
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
    temporary = out.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_text(render(page), encoding="utf-8", errors="replace")
        os.replace(temporary, out)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return out


def render(page: ParentPage) -> str:
    """The page as text."""
    style = resources.files("pgsrm_plugin.report").joinpath("page.css").read_text(encoding="utf-8")
    title = f"Parent's answers: {page.name}"
    body = "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            f'<p class="lead">{escape(_lead(page))}</p>',
            _tiles(page),
            "<h2>Checks</h2>",
            '<p class="note">A finding is a reason to look. Answers of the first five kinds are never references.</p>',
            _checks(page.quality),
            *(_examples(name, found) for name, found in sorted(page.quality.examples.items(), key=_order)),
            "<h2>Length of the references</h2>",
            _lengths(page),
            _agreement(page),
            "<h2>Settings</h2>",
            _settings(page),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _order(entry: tuple[str, list[Finding]]) -> int:
    return list(CHECKS).index(entry[0])


def _usable(page: ParentPage) -> int:
    return sum(bool(one.references) for one in page.prompts)


def _lead(page: ParentPage) -> str:
    usable, prompts = _usable(page), len(page.prompts)
    sentence = f"{usable} of {prompts} prompts have a reference. "
    worst = [f"{count} {name}" for name, count in page.quality.counts.most_common(3)]
    return sentence + (f"The checks found {', '.join(worst)}." if worst else "The checks found nothing.")


def _tiles(page: ParentPage) -> str:
    quality, prompts = page.quality, len(page.prompts)
    tiles = [
        html.tile("prompts", f"{prompts:,}", f"{quality.answers:,} answers"),
        html.tile("with a reference", _percent(_usable(page), prompts), f"{_usable(page):,} prompts"),
        html.tile(
            "refused", _percent(quality.counts["refused"] + quality.counts["refusal"], quality.answers), "of answers"
        ),
        html.tile("truncated", _percent(quality.counts["truncated"], quality.answers), "ran into max_tokens"),
    ]
    values = _values(page)
    if values:
        tiles.append(html.tile("agreement", f"{fmean(values):.3f}", f"mean of {len(values):,} prompts"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _checks(quality: Quality) -> str:
    rows = []
    for name, meaning in CHECKS.items():
        count = quality.counts[name]
        of = quality.prompts if name == "repeated" else quality.answers
        share = "" if name == "repeated" else _percent(count, of)
        rows.append(html.row(name, [f"{count:,}", share, escape(meaning)]))
    return html.table(["check", "count", "of answers", "what it says"], rows)


def _examples(name: str, found: Sequence[Finding]) -> str:
    rows = [
        f'<tr><td class="text">{_cut(one.prompt)}</td><td class="text">{_cut(one.text) or "<em>nothing</em>"}</td>'
        f'<td class="text">{_cut(one.detail)}</td><td><code>{one.key[:12]}</code></td></tr>'
        for one in found
    ]
    heads = ["prompt", "answer", "seen", "key"]
    return f"<details open><summary>{escape(name)}: examples</summary>{html.table(heads, rows, 'samples')}</details>"


def _lengths(page: ParentPage) -> str:
    lengths = [len(text.split()) for one in page.prompts for text in one.references]
    if not lengths:
        return '<p class="note">There are no references.</p>'
    note = f"Words. Median {median(lengths):g}, mean {fmean(lengths):.1f}, longest {max(lengths):,}."
    return _histogram(lengths, 0, max(max(lengths), 1), note, whole=True)


def _agreement(page: ParentPage) -> str:
    values = _values(page)
    if not values or page.agreements is None:
        return ""
    note = f"Mean pairwise cosine of a prompt's answers, repeats included, by {page.agreements.encoder}."
    ranked = sorted(
        ((value, one) for one in page.prompts if (value := page.agreements.of(one)) is not None),
        key=lambda pair: pair[0],
    )
    rows = [
        f'<tr><td>{value:.3f}</td><td class="text">{_cut(prompt_text(one.prompt))}</td>'
        f'<td class="text">{"<br>".join(_cut(text, 120) for text in one.references)}</td></tr>'
        for value, one in ranked[:_SHOWN]
    ]
    least = html.table(["agreement", "prompt", "answers"], rows, "samples")
    bars = _histogram(values, min(0.0, *values), 1.0, note)
    return f"<h2>Agreement of the answers to a prompt</h2>{bars}<details open><summary>least</summary>{least}</details>"


def _values(page: ParentPage) -> list[float]:
    if page.agreements is None:
        return []
    return [value for one in page.prompts if (value := page.agreements.of(one)) is not None]


def _settings(page: ParentPage) -> str:
    found = settings_in(answer for one in page.prompts for answer in one.answers)
    entries = [(own, f"{config.engine} {describe_settings(config)}") for own, (config, _) in found.items()]
    return html.definitions(entries)


def _histogram(values: Sequence[float], low: float, high: float, note: str, whole: bool = False) -> str:
    """Bars in a table: numbers to read, and nothing to load."""
    width = (high - low) / _BINS
    width = max(1, -(-int(high - low + 1) // _BINS)) if whole else width or 1.0
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, int((value - low) / width))] += 1
    rows = []
    for place, count in enumerate(counts):
        start = low + place * width
        if whole and start > high:
            break
        name = f"{start:.0f}" if whole and width == 1 else f"{start:.3g} to {start + width - whole:.3g}"
        rows.append(html.row(name, [f"{count:,}", _bar(count, max(counts))]))
    return f'{html.table(["", "count", ""], rows)}<p class="note">{escape(note)}</p>'


def _bar(count: int, most: int) -> str:
    return f'<div style="width:{30 * count / most:.2f}rem;height:.8rem;border-radius:2px;background:#3b78d8"></div>'


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _cut(text: str, limit: int = _CUT) -> str:
    return escape(text if len(text) <= limit else text[: limit - 3] + "...")
