"""docs/design/house.md is the house that stands, and the house keeps its rules of size and of names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from script_files import load_script

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "design" / "house.md"
WIDE = {
    "pgsrm_plugin/terms": "one module a term is the rule",
    "pgsrm_plugin/guards": "one module a guard is the rule",
    "pgsrm_plugin/audit/attacks": "one module an attack is the rule",
}
"""Folders that may have more than 12 modules, and why."""
DOUBLE_MODULES = {
    ("pgsrm_plugin", "entailment"): "a term and a guard of that name",
    ("pgsrm_plugin", "length"): "a term and a guard of that name",
    ("pgsrm_plugin", "repetition"): "a term and a guard of that name",
    ("pgsrm_plugin", "prompt_copy"): "a term and a guard of that name",
}
"""Module names that a package has twice, and for what. To shrink, not to grow."""
DOUBLE_CLASSES: dict[tuple[str, str], str] = {}
"""Class names that a package has twice, and for what. To shrink, not to grow."""


house = load_script("house")


@pytest.fixture(scope="module")
def found():
    return house.modules(ROOT)


def tree_of(page: str) -> set[str]:
    """The folders in a page's tree, whose depth is their indentation."""
    (block,) = re.findall(r"^```text\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    folders, path = set(), []
    for indent, name in re.findall(r"^( *)(\w+)/(?=\s)", block, flags=re.MULTILINE):
        path = [*path[: len(indent) // 2], name]
        folders.add("/".join(path))
    return folders - {"integrations"}


def test_the_page_draws_the_folders_that_exist(found):
    assert tree_of(PAGE.read_text(encoding="utf-8")) == set(house.folders(found))


def test_folders_are_narrow(found):
    assert {name for name, count in house.folders(found).items() if count > house.WIDEST} == set(WIDE)


def test_no_import_goes_in_a_circle(found):
    assert house.circles(house.imports(found, lazy=False)) == []


def test_no_two_modules_of_a_package_share_a_name(found):
    assert house.double_modules(found) == set(DOUBLE_MODULES)


def test_no_two_classes_of_a_package_share_a_name(found):
    assert house.double_classes(found) == set(DOUBLE_CLASSES)


def test_the_page_has_the_measures_of_the_script():
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in house.measures(ROOT) if f"\n| {name} | " not in page] == []


# --- each check can fail ----------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """Writes a tree of files and gives its modules."""

    def write(files: dict[str, str]):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return house.modules(tmp_path)

    return write


def test_a_tree_is_read_by_its_indentation():
    page = "x\n```text\npgsrm_a/   the core\n  x y      files\n  b/       c/ is none\n    d/     two\n  e/  one\n```\n"
    assert tree_of(page) == {"pgsrm_a", "pgsrm_a/b", "pgsrm_a/b/d", "pgsrm_a/e"}


def test_modules_of_a_folder_are_counted_without_init(small):
    found = small({"pgsrm_a/__init__.py": "", "pgsrm_a/x.py": "", "integrations/pgsrm_b/c/y.py": ""})
    assert house.folders(found) == {"pgsrm_a": 1, "integrations/pgsrm_b/c": 1}


@pytest.mark.parametrize(
    ("first", "second", "when_loaded", "ever"),
    [
        ("from pgsrm_a.y import f", "from . import x", True, True),
        ("import pgsrm_a.y", "def f():\n    from pgsrm_a import x", False, True),
        ("import pgsrm_a.y", "if TYPE_CHECKING:\n    from pgsrm_a import x", False, False),
        ("import pgsrm_a.y", "import os", False, False),
    ],
)
def test_circles_are_seen(small, first, second, when_loaded, ever):
    found = small({"pgsrm_a/__init__.py": "", "pgsrm_a/x.py": first, "pgsrm_a/y.py": second})
    circle = [("pgsrm_a.x", "pgsrm_a.y")]
    assert house.circles(house.imports(found, lazy=False)) == circle * when_loaded
    assert house.circles(house.imports(found)) == circle * ever


def test_a_circle_of_three_is_seen(small):
    found = small({f"pgsrm_a/{one}.py": f"from pgsrm_a import {two}" for one, two in ("xy", "yz", "zx")})
    assert house.circles(house.imports(found)) == [("pgsrm_a.x", "pgsrm_a.y", "pgsrm_a.z")]


def test_double_names_are_seen_within_a_package_only(small):
    found = small(
        {
            "pgsrm_a/page.py": "class Plan: ...",
            "pgsrm_a/sub/page.py": "class Plan: ...\nclass One: ...",
            "pgsrm_a/base.py": "",
            "pgsrm_a/sub/base.py": "",
            "integrations/pgsrm_b/page.py": "class One: ...",
        }
    )
    assert house.double_modules(found) == {("pgsrm_a", "page")}
    assert house.double_classes(found) == {("pgsrm_a", "Plan")}


def test_measures_by_hand(small, tmp_path):
    small(
        {
            "pgsrm_a/x.py": "import pgsrm_a.y\n\n\ndef f(a: int) -> int:\n    return a  # why\n",
            "pgsrm_a/y.py": "a = 1\n",
        }
    )
    assert house.measures(tmp_path) == {
        "source files": "2",
        "lines": "6",
        "lines a file: median / 90 % / most": "3 / 5 / 5",
        "lines a function: median / 90 % / most": "2 / 2 / 2",
        "modules a folder: median / most": "2 / 2",
        "folders of more than 12 modules": "0",
        "modules with one importer": "1",
        "lines with a comment": "16.7%",
        "functions annotated": "100.0%",
        "module names double in a package": "0",
        "class names double in a package": "0",
        "circles of imports: when loaded / ever": "0 / 0",
    }
