"""The composition study: its rewards, its numbers by hand, and real runs that end in a page."""

from __future__ import annotations

import json
import shutil

import pytest

from pgsrm_lab.reproduce.composition.composition import Composition
from pgsrm_lab.reproduce.composition.outcomes import TERMS, row_of
from pgsrm_lab.reproduce.composition.ways import ARMS
from pgsrm_lab.tasks.statements import negations
from pgsrm_plugin import RewardSample, SemanticReward, parse_spec
from pgsrm_plugin.aggregates import AGGREGATES
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.kinds import kind_of


def test_every_aggregation_is_there_but_the_one_that_grpo_undoes():
    there = {parse_spec(arm.body).aggregate.kind for arm in ARMS.values()}
    assert set(map(kind_of, AGGREGATES)) - there == {"renorm"}


def test_the_terms_pull_apart():
    """Right answers have fewer of the reference's words than wrong ones, and both are longer than what is short."""
    reward = SemanticReward(parse_spec(ARMS["sum"].body))

    def terms(answers, statement):
        truths = (statement.reference, *statement.right)
        rows = [RewardSample(statement.prompt, one, (statement.reference,), truths) for one in answers]
        return {name: float(value_B.mean()) for name, value_B in reward.score(rows).terms.items()}

    right = [terms(one.right, one) for one in negations()]
    wrong = [terms(one.wrong, one) for one in negations()]
    broken = [terms(["The water"], one) for one in negations()]
    mean = lambda rows, name: sum(row[name] for row in rows) / len(rows)  # noqa: E731
    assert (mean(right, "right"), mean(wrong, "right")) == (1.0, 0.0)
    assert mean(wrong, "likeness") > mean(right, "likeness") + 0.4
    assert mean(broken, "short") == 1.0
    assert max(mean(right, "short"), mean(wrong, "short")) < 0.6


def test_a_runs_row_by_hand():
    points = {"steps": [0, 10], "values": [0.5, 0.25]}
    curves = {f"val/{name}": points for name in ("right", "wrong", "other")}
    curves |= {f"train/reward/{name}": {"steps": [], "values": [9.0, *[0.25] * 7, 0.75]} for name in TERMS}
    curves["train/zero_variance_groups"] = {"steps": [], "values": [0.0, 0.5]}
    run = dict.fromkeys(
        ("task", "arm", "update", "seed", "episodes", "digest", "spec", "fingerprint", "commit", "child_parameters"), 1
    )
    run |= dict.fromkeys(("start_spread", "right_paid", "wrong_paid", "ordered"), 0.5)
    run |= {"curves": curves, "seconds": {"total": 2.0, "reward": 1.0}, "versions": {}, "machine": {}, "settings": {}}
    row = row_of(run)
    assert row["right_term"] == (7 * 0.25 + 0.75) / 8
    assert (row["even"], row["chosen"]) == (0.25, None)
    curves["train/chosen/right"] = {"steps": [], "values": [0.5] * 8}
    curves["train/chosen/short"] = {"steps": [], "values": [0.25] * 8}
    assert row_of(run)["chosen"] == 0.5


def test_real_runs_end_in_a_page_with_the_ratings_beside_them(pgsrm, tmp_path):
    command = ("reproduce", "composition", "--quick", "--arms", "sum,vote,learned", "--seeds", "1", "--jobs", "1")
    found = pgsrm(*command, "--out", tmp_path)
    assert found.status == 0, found.err
    rows = [row for _, row in read_rows(tmp_path / "results.parquet")]
    assert [(row["study"], row["arm"]) for row in rows] == [("composition", arm) for arm in ("sum", "vote", "learned")]
    assert rows[2]["chosen"] is not None
    assert "3 runs, 3 of them finished before" in pgsrm(*command, "--out", tmp_path).out
    (page,) = Composition().pages(tmp_path, "composition").values()
    assert "How each agrees with people" not in page
    assert "| `vote` |" in page
    measure = {"name": "tau", "value": 0.5, "count": 3, "low": 0.25, "high": 0.75, "ties": 0, "chance": 0.0}
    ratings = {"data": "d.jsonl", "rows": 3, "how": "So.", "specs": [{"spec": "sum", "measures": [measure]}]}
    (tmp_path / "ratings.json").write_text(json.dumps(ratings))
    (page,) = Composition().pages(tmp_path, "composition").values()
    assert "| `sum` | 0.500 [0.25, 0.75] |" in page
    assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")
    shutil.rmtree(tmp_path / "runs")


@pytest.mark.parametrize("arm", ARMS)
def test_every_spec_is_valid(arm):
    assert parse_spec(ARMS[arm].body).name == arm
