"""``python -m pgsrm_lab.bench.docs RESULT.json... --out docs/benchmarks.md``: the page of the documentation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pgsrm_lab.bench.table import HEADINGS, cells
from pgsrm_lab.bench.wording import bar_title, facts, runs_of


def page(results: Sequence[dict[str, Any]]) -> str:
    """The page as Markdown, a section a result and dtype."""
    sections = [_section(run, result) for result in results for run in runs_of(result)]
    template = resources.files("pgsrm_lab.bench").joinpath("page.md").read_text(encoding="utf-8")
    return template.replace("{{ results }}", "\n".join(sections))


def read_results(path: Path) -> list[dict[str, Any]]:
    """The results in a file: one, or a list of them."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, list) else [found]


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(prog="python -m pgsrm_lab.bench.docs", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="what `pgsrm bench --json` wrote, or a list of such")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    results = [result for path in given.results for result in read_results(path)]
    given.out.write_text(page(results), encoding="utf-8")


def _section(run: dict[str, Any], result: dict[str, Any]) -> str:
    machine = run["machine"]
    place = machine.get("gpu") or f"{machine['cpu']}, {machine['cores']} cores"
    lines = [
        f"## {run['model'].rpartition('/')[2]}, {run['dtype']}, {run['device']}",
        "",
        f"{place}; {run['date']}.",
        "",
        f"| | {' | '.join(HEADINGS)} |",
        f"|---|{'---:|' * len(HEADINGS)}",
        *(f"| {bar_title(name, run)} | {' | '.join(cells(run, name))} |" for name in run["pairs_per_s"]),
        "",
        *(f"- {text}" for text in facts(run)),
        "",
        _about(result),
        "",
    ]
    return "\n".join(lines)


def _about(result: dict[str, Any]) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in result["machine"].items())
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    return f"Machine: {machine}. Versions: {versions}. Command: `{result['command']}`, {result['rounds']} rounds."


if __name__ == "__main__":
    main()
