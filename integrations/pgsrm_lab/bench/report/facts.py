"""A result in sentences, the same in the terminal, on the page and in the documentation."""

from __future__ import annotations

from typing import Any

from pgsrm_lab.bench.report.rows import system_title
from pgsrm_plugin.report.templates import environment


def facts(run: dict[str, Any]) -> list[str]:
    """What the numbers of one dtype say, a line each: speed first, what is missing last."""
    template = environment(__package__, html=False).get_template("facts.txt.j2")
    return template.render(run=run, title=system_title).splitlines()
