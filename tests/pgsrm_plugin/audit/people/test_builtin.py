"""The built-in pairs: enough of each kind, made by the script, and each with a right and a wrong answer."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from pathlib import Path

import pytest
from script_files import load_script

from pgsrm_plugin.audit.people.builtin import builtin_files
from pgsrm_plugin.audit.people.judgements import read_judgements
from pgsrm_plugin.data.files import read_rows

KINDS = {
    "role_swap", "negation", "number_change", "temporal_inversion", "antonym", "word_shuffle", "keyword_soup",
    "master_key", "prompt_echo", "prefix_junk", "other_reference", "universal_suffix", "wrong_language", "padding",
    "loop", "both_ways",
}  # fmt: skip
TOPICS = {"medicine", "law", "cooking", "history", "code", "maths", "science", "everyday"}


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return [row for path in builtin_files() for _, row in read_rows(path)]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, words(one), words(other)).ratio()


def test_there_are_enough_pairs_of_each_kind(rows):
    counts = Counter(row["kind"] for row in rows)
    assert set(counts) == KINDS
    assert min(counts.values()) >= 25
    assert len({row["reference"] for row in rows}) >= 60
    assert {row["topic"] for row in rows} == TOPICS


def test_the_set_is_read_as_pairs_with_the_kinds_as_sections(rows):
    found = read_judgements("builtin")
    assert (found.kind, len(found)) == ("pairs", len(rows))
    assert {pair.section for pair in found.pairs} == KINDS


def test_two_authors_wrote_them_and_each_has_enough_of_the_near_errors(rows):
    counts = Counter((row["author"], row["kind"]) for row in rows)
    near = ("role_swap", "negation", "number_change", "temporal_inversion", "antonym")
    assert {author for author, _ in counts} == {"first", "second"}
    assert min(counts[author, kind] for author in ("first", "second") for kind in near) >= 25
    assert not {row["reference"] for row in rows if row["author"] == "first"} & {
        row["reference"] for row in rows if row["author"] == "second"
    }


def test_the_files_are_what_the_script_makes(tmp_path):
    load_script("make_pairs").main(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in builtin_files()}
    for path in builtin_files():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_the_good_answer_is_far_in_wording_and_no_bad_one(rows):
    goods = {row["reference"]: row["good"] for row in rows}
    assert max(likeness(reference, good) for reference, good in goods.items()) < 0.5
    assert sum(likeness(*pair) for pair in goods.items()) / len(goods) < 0.25
    assert all(row["bad"] not in (row["good"], row["reference"]) for row in rows)


@pytest.mark.parametrize("kind", ["role_swap", "negation", "number_change", "temporal_inversion", "antonym"])
def test_a_near_error_keeps_nearly_all_words(rows, kind):
    for row in rows:
        if row["kind"] == kind:
            shared = Counter(words(row["reference"])) & Counter(words(row["bad"]))
            assert shared.total() >= 0.5 * len(words(row["reference"])), row["bad"]


def test_rules_do_what_they_say(rows):
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in KINDS}
    assert all(row["bad"] == row["prompt"] for row in by_kind["prompt_echo"])
    assert all(row["bad"].count(row["reference"]) >= 3 for row in by_kind["loop"])
    assert all(row["reference"] in row["bad"] for row in by_kind["padding"])
    assert all(row["bad"].startswith(row["reference"]) for row in by_kind["both_ways"])
    assert all(Counter(words(row["bad"])) == Counter(words(row["reference"])) for row in by_kind["word_shuffle"])
    references = {row["reference"] for row in rows}
    assert all(row["bad"] in references for row in by_kind["other_reference"])
    for row in by_kind["prefix_junk"]:
        assert row["bad"].split()[:2] == row["reference"].split()[:2]


def test_the_wheel_takes_the_files_along():
    folder = Path(__file__).parents[4]
    ignored = (folder / ".gitignore").read_text().split()
    project = (folder / "pyproject.toml").read_text()
    assert not any(name.endswith(("jsonl", "pairs/")) for name in ignored)
    assert 'packages = ["pgsrm_plugin",' in project
    assert "exclude" not in project.split("[tool.hatch.build")[1].split("[tool.ruff]")[0]
