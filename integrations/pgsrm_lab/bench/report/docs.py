"""``python -m pgsrm_lab.bench.report.docs RESULT.json... --out docs/benchmarks.md``: the page of the documentation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pgsrm_lab.bench.report.facts import facts
from pgsrm_lab.bench.report.rows import GUARD_HEADINGS, HEADINGS, cells, guard_rows, runs_of, system_title
from pgsrm_plugin.report.templates import environment


def page(results: Sequence[dict[str, Any]]) -> str:
    """The page as Markdown, a section a result and dtype; what guards cost after the comparisons."""
    sections = [
        {
            "run": run,
            "result": result,
            "model": run["model"].rpartition("/")[2],
            "rows": [[system_title(name, run), *cells(run, name)] for name in run["pairs_per_s"]],
            "facts": facts(run),
        }
        for result in results
        if "guards" not in result
        for run in runs_of(result)
    ]
    guards = [{"result": result, "rows": guard_rows(result)} for result in results if "guards" in result]
    pages = environment("pgsrm_lab.bench.report", html=False)
    return pages.get_template("benchmarks.md.j2").render(
        sections=sections, head=HEADINGS, guards=guards, guard_head=GUARD_HEADINGS
    )


def read_results(path: Path) -> list[dict[str, Any]]:
    """The results in a file: one, or a list of them."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, list) else [found]


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(prog="python -m pgsrm_lab.bench.report.docs", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="what `pgsrm bench --json` wrote, or a list of such")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    results = [result for path in given.results for result in read_results(path)]
    given.out.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
