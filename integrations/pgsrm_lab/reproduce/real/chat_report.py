"""report.html: the drawing, and beside it what the page says of the hack."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from pgsrm_lab.reproduce.real.chat_drawing import drawing
from pgsrm_lab.reproduce.real.chat_page import facts
from pgsrm_lab.reproduce.summary import Results
from pgsrm_lab.reproduce.writing import markdown, write_html

TITLE = "PGSRM with a pretrained child"


def write_report(results: Results, out: Path) -> Path:
    """Writes report.html into the results' folder."""
    given = facts(results, out)
    drawings = [
        (rule, Markup(markdown(__package__, "curves.svg.j2", drawing(results, rule)))) for rule in given["rules"]
    ]
    return write_html(__package__, out, {"title": TITLE, "drawings": drawings, **given})
