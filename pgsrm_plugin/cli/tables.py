"""Tables for a terminal, also for one that is too narrow for them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_FOLDED = 12
"""A column whose texts may go over several lines is readable from this width on."""


def show_table(table: Table, console: Console) -> None:
    """Prints a table; where the terminal is too narrow for it, its rows as plain lines."""
    if _needed(table, console) <= console.width:
        console.print(table)
        return
    for line in _lines(table, console):
        console.print(line, soft_wrap=True)


def _needed(table: Table, console: Console) -> int:
    borders = 3 * len(table.columns) + 1 if table.box else 2 * len(table.columns)
    return borders + sum(_width(column, console) for column in table.columns)


def _width(column: Column, console: Console) -> int:
    options = console.options.update(max_width=1000)
    widest = max(Measurement.get(console, options, cell).maximum for cell in (column.header, *column.cells))
    return widest if column.no_wrap else min(widest, _FOLDED)


def _lines(table: Table, console: Console) -> Iterator[Text]:
    headings = [_text(column.header, console) for column in table.columns]
    if table.title:
        yield _text(table.title, console)
    for name, *cells in zip(*(column.cells for column in table.columns), strict=True):
        shown = [
            Text(" ").join([heading, text] if heading else [text])
            for heading, cell in zip(headings[1:], cells, strict=True)
            if (text := _text(cell, console))
        ]
        yield Text(": ").join(part for part in (_text(name, console), Text(", ").join(shown)) if part)
    if table.caption:
        yield _text(table.caption, console)


def _text(cell: object, console: Console) -> Text:
    return cell if isinstance(cell, Text) else console.render_str(str(cell))
