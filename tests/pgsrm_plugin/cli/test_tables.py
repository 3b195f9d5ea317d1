"""A table, and the same numbers as plain lines where the terminal is too narrow for one."""

from __future__ import annotations

import json

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pgsrm_plugin.cli.tables import show_table


@pytest.fixture
def table() -> Table:
    made = Table(title="Rewards", caption="three rows")
    made.add_column("", no_wrap=True)
    for heading in ("mean", "std"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("note", overflow="fold")
    made.add_row("reward", "0.5000", "0.1000", "a long text that may go over several lines")
    made.add_row("reward/[b]", "", "1.0000", Text("[not markup]"))
    return made


def shown(table: Table, width: int, **settings: object) -> list[str]:
    console = Console(width=width, **settings)
    with console.capture() as captured:
        show_table(table, console)
    return captured.get().splitlines()


def test_a_narrow_terminal_gets_plain_lines(table):
    assert shown(table, 20, markup=False) == [
        "Rewards",
        "reward: mean 0.5000, std 0.1000, note a long text that may go over several lines",
        "reward/[b]: std 1.0000, note [not markup]",
        "three rows",
    ]


def test_where_it_fits_it_is_a_table(table):
    needed = 3 * 4 + 1 + len("reward/[b]") + 6 + 6 + 12
    assert "┏" in "".join(shown(table, needed, markup=False))
    assert "┏" not in "".join(shown(table, needed - 1, markup=False))
    assert all(len(line) <= needed for line in shown(table, needed, markup=False))


def test_a_table_without_headings():
    made = Table(show_header=False, box=None, pad_edge=False)
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    made.add_row("[green]ok[/]", "embedded MiniLM", "weights have the official sha256")
    assert shown(made, 20) == ["ok: embedded MiniLM, weights have the official sha256"]
    assert len(shown(made, 60)) == 1


def test_score_on_a_narrow_terminal(pgsrm, tmp_path, monkeypatch):
    rows = [{"prompt": "p", "response": text, "reference": "red"} for text in ("red", "blue")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "s.yaml").write_text("terms: {exact_match: {}}")
    monkeypatch.setenv("COLUMNS", "20")
    ended = pgsrm("score", tmp_path / "rows.jsonl", "--spec", tmp_path / "s.yaml", "--out", tmp_path / "out.jsonl")
    assert ended.out.splitlines()[:3] == [
        "Rewards",
        "reward: mean 0.5000, std 0.5000, min 0.0000, max 1.0000",
        "reward/exact_match: mean 0.5000, std 0.5000, min 0.0000, max 1.0000",
    ]
