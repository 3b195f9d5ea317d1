"""HTML helpers. Arguments named ``text`` are escaped; cells are HTML already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(head: Iterable[str], rows: Iterable[str], css_class: str = "") -> str:
    """A table that scrolls sideways where it is too wide; ``head`` are texts, ``rows`` HTML."""
    cells = "".join(f"<th>{escape(text)}</th>" for text in head)
    return (
        f'<div class="scroll"><table class="{css_class}"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def row(name_text: str, cells: Sequence[str]) -> str:
    """A row with a heading."""
    return f"<tr><th>{escape(name_text)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def tile(name_text: str, value_text: str, note_text: str, colour: str = "") -> str:
    """A headline number."""
    dot = f'<i class="dot" style="background:{colour}"></i>' if colour else ""
    return (
        f'<div class="tile"><h3>{dot}{escape(name_text)}</h3><p class="big">{escape(value_text)}</p>'
        f'<p class="note">{escape(note_text)}</p></div>'
    )


def definitions(entries: Iterable[tuple[str, object]]) -> str:
    """Names and values, two columns."""
    return f"<dl>{''.join(f'<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>' for k, v in entries)}</dl>"
