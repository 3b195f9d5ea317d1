"""The README and the recipes keep their promises."""

import doctest
import re
from pathlib import Path

import pytest
import yaml

from pgsrm_plugin import load_spec, parse_spec
from pgsrm_plugin.encoders import ENCODERS
from pgsrm_plugin.kinds import kind_of
from pgsrm_plugin.terms import TERMS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "recipes" / "README.md", *(ROOT / "docs").rglob("*.md")]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def test_the_readmes_session_prints_what_it_says():
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert (result.failed, result.attempted > 3) == (0, True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_whole_specs_in_pages_are_valid(page):
    for text in blocks(page, "yaml"):
        if "terms" in (yaml.safe_load(text) or {}) and "floor" not in text:
            parse_spec(text)


def test_every_dependency_earns_a_line():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = project.split("\ndependencies = [")[1].split("\n[project.scripts]")[0]
    names = set(re.findall(r'"([A-Za-z][\w-]*)[\[>=<"]', section)) - {"pgsrm-plugin"}
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## Why each dependency")[1]
    families = {"pytest": "pytest", "types": "mypy", "mkdocstrings": "mkdocstrings"}
    for name in names:
        assert families.get(name.split("-")[0], name) in table, f"{name} has no line in the README"


@pytest.mark.parametrize(("title", "parts"), [("Terms", TERMS), ("Encoders", ENCODERS)])
def test_the_readme_names_every_kind_and_counts_none(title, parts):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^- \*\*{title}\*\*: (.*?)(?=^- )", readme, flags=re.DOTALL | re.MULTILINE)
    assert sorted(re.findall(r"`([a-z_]+)`", line)) == sorted(map(kind_of, parts))
    assert not re.search(r"\b(\d+|ten|eleven|twelve) (terms|encoders)\b", readme, flags=re.IGNORECASE)


def test_the_index_lists_every_recipe():
    index = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    files = sorted(path.relative_to(ROOT / "recipes") for path in (ROOT / "recipes").rglob("*.yaml"))
    assert files
    assert [str(path) for path in files if f"({path})" not in index] == []


@pytest.mark.parametrize("path", sorted((ROOT / "recipes" / "rewards").glob("*.yaml")), ids=lambda path: path.stem)
def test_reward_recipes_load(path):
    assert load_spec(path).description


def test_the_index_links_every_page():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
    assert [page for page in pages if page != "index.md" and f"({page})" not in index] == []
