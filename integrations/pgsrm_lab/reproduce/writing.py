"""A study's pages: its templates and those that all studies share, and files of Markdown that appear whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from pgsrm_plugin.data.whole import write_whole
from pgsrm_plugin.report.page import write_page
from pgsrm_plugin.report.templates import environment


def markdown(package: str, template: str, facts: Mapping[str, object]) -> str:
    """A page of Markdown from a study's template."""
    found = environment(package, __package__, html=False).get_template(template)
    return _spaced(found.render({"marks": "marks.md.j2", **facts}))


def write_html(package: str, out: Path, facts: Mapping[str, object]) -> Path:
    """Writes report.html into a folder from a study's template of that name."""
    page = environment(package, __package__).get_template("report.html.j2").render({"marks": "marks.html.j2", **facts})
    return write_page(out / "report.html", page)


def write_pages(pages: Mapping[str, str], folder: Path) -> None:
    """Writes pages by their paths within a folder."""
    for name, text in pages.items():
        page = folder / name
        page.parent.mkdir(parents=True, exist_ok=True)
        write_whole(page, text.encode())


def escaped(text: str) -> str:
    """Text within backticks and a table."""
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("`", "'").replace("|", "\\|").strip()


def _spaced(page: str) -> str:
    """Without the spaces and the blank lines that a template's blocks leave behind."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" +$", "", page, flags=re.MULTILINE)).strip() + "\n"
