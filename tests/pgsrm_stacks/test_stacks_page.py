"""docs/guides/stacks.md says what the tests show, and each stack's file is small."""

from __future__ import annotations

from pathlib import Path

import pytest
from stack_drivers import DRIVERS, MARKS, SLOW
from stack_table import PAGE, table, with_table

ROOT = Path(__file__).parents[2]
SHARED = ("__init__.py", "process_scorer.py")


def test_the_table_is_what_the_tests_show():
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page
    assert table() in page


def test_every_named_stack_exists():
    assert {*MARKS, *SLOW} < set(DRIVERS)


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "integrations" / "pgsrm_stacks").rglob("*.py")),
    ids=lambda path: path.parent.name + path.name,
)
def test_a_stacks_file_is_small(path):
    assert path.name in SHARED or len(path.read_text(encoding="utf-8").splitlines()) < 60
