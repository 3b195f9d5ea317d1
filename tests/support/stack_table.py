"""The table of docs/guides/stacks.md, from what the tests show: ``python tests/support/stack_table.py`` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from stack_drivers import DRIVERS, MARKS

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "stacks.md"
_HEAD = "| stack | lines to add | when the scorer fails | shown with |\n|---|---|---|---|\n"


def table() -> str:
    """A line a stack."""
    lines = []
    for name, driver in DRIVERS.items():
        page = f"[{name}]({driver.page})" if driver.page else name
        word = "marks" if name in MARKS else "stops"
        lines.append(f"| {page} | {driver.add} | {word}: {driver.outage} | {driver.client} |\n")
    return _HEAD + "".join(lines)


def with_table(page: str) -> str:
    """The page with the table as it is now."""
    return re.sub(r"\| stack \|.*?\n(?=\n)", lambda _: table(), page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
