"""Statistics, measures, verdicts and the page, against values computed by hand."""

from __future__ import annotations

import doctest
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning")

from pgsrm_lab.reproduce import measure, summary
from pgsrm_lab.reproduce.paper import arms, findings, grid, measures
from pgsrm_lab.reproduce.paper.grid import PaperProtocol, plan
from pgsrm_lab.reproduce.paper.pgsrm import Pgsrm
from pgsrm_lab.reproduce.studies import STUDIES, study_of
from pgsrm_lab.reproduce.study import Job
from pgsrm_lab.reproduce.writing import write_pages
from pgsrm_lab.tasks import PGSRM_TASKS
from pgsrm_plugin import DataError, SpecError
from pgsrm_plugin.data.files import read_rows, write_rows
from pgsrm_plugin.report import compare
from pgsrm_plugin.report.stats import Interval
from pgsrm_plugin.spec.parse import parse_spec

ROOT = Path(__file__).parents[3]
STUDY = Pgsrm()
FLOOR = {"value": 0.31, "encoder": "hf:x", "pairs": 100}


@pytest.mark.parametrize("module", [compare, measure])
def test_the_examples_in_the_docstrings(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize(
    ("gaps", "p"),
    [
        ([1.0, 1.0, 1.0, 1.0, 1.0], 2 / 32),  # the least that five seeds can give
        ([3.0, 2.0, 1.0, 0.5, -0.25], 4 / 32),  # only turning the last sign goes further out, each way
        ([1.0, -1.0, 2.0, -2.0], 1.0),
        ([0.0, 0.0], 1.0),
    ],
)
def test_sign_flip_p_by_hand(gaps, p):
    assert compare.sign_flip_p(gaps) == pytest.approx(p)
    assert compare.sign_flip_p([-gap for gap in gaps]) == pytest.approx(p)


def test_sign_flip_of_many_pairs_is_drawn_and_agrees_with_the_normal_limit():
    gaps = np.random.default_rng(1).normal(0.5, 1.0, size=40)
    expected = math.erfc(abs(gaps.sum()) / np.sqrt((gaps**2).sum()) / math.sqrt(2))
    assert compare.sign_flip_p(gaps.tolist()) == pytest.approx(expected, abs=0.005)


def test_an_outlier_does_not_move_the_interquartile_mean():
    assert compare.iqm([1.0, 2.0, 3.0, 4.0, 5.0]) == 3.0
    assert compare.iqm([1.0, 2.0, 3.0, 4.0, 500.0]) == 3.0
    assert compare.iqm(list(range(8))) == 3.5


def test_the_bootstrap_resamples_within_each_task():
    """With one value a task there is nothing to resample; a pooled bootstrap would find a wide interval."""
    assert compare.stratified_iqm([[0.0], [1.0], [2.0], [3.0]]) == Interval(1.5, 1.5, 1.5)
    found = compare.stratified_iqm([[0.0, 1.0], [10.0, 11.0]])
    assert found.mean == 5.5
    assert 5.0 <= found.low < found.mean < found.high <= 6.0
    with pytest.raises(DataError, match="at least one value of each task"):
        compare.stratified_iqm([[1.0], []])


@pytest.mark.parametrize(
    ("low", "high", "claimed", "said"),
    [
        (0.1, 0.3, "higher", "supported"),
        (0.1, 0.3, "lower", "not supported"),
        (-0.3, -0.1, "lower", "supported"),
        (-0.3, -0.1, "higher", "not supported"),
        (-0.1, 0.3, "lower", "undecided"),
        (0.0, 0.3, "higher", "undecided"),
    ],
)
def test_the_verdict_is_the_intervals(low, high, claimed, said):
    assert compare.verdict(Interval((low + high) / 2, low, high), claimed) == said


def pages_of(results):
    return STUDY.pages(results, "pgsrm")


def curve(*values, every=1):
    return {"steps": [every * i for i in range(len(values))], "values": list(values)}


def make_run(arm="binary", seed=0, accuracy=(0.1, 0.5, 0.7), held_out=True, **other):
    curves = {
        "val/train/chance": curve(*accuracy, every=5),
        "val/train/accuracy": curve(0.2, 0.6, 0.8, every=5),
        "val/train/semantic": curve(0.5, 0.6, 0.9, every=5),
        "train/reward": {"steps": list(range(1, 11)), "values": [0.0, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]},
        "train/kl": {"steps": list(range(1, 11)), "values": [9.0, 9.0, 1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0, 3.0]},
        "train/entropy": {"steps": list(range(1, 11)), "values": [1.0] * 10},
        "train/value_loss": {"steps": list(range(1, 11)), "values": [7.0, 7.0] + [0.1, 0.3] * 4},
    }
    if held_out:
        curves |= {name.replace("train/", "held_out/"): c for name, c in curves.items() if name.startswith("val/")}
    run = {"task": "colours", "arm": arm, "update": "ppo", "seed": seed, "episodes": 1000, "digest": "d", "spec": "s"}
    run |= {"curves": curves, "seconds": {"total": 10.0, "reward": 2.5}, "child_parameters": 7, "wrong_cosine": 0.4}
    settings = json.loads(json.dumps(asdict(PaperProtocol())))
    return run | {"settings": settings, "versions": {"torch": "2"}, "machine": {"cpu": "x"}} | other


def test_a_runs_row_by_hand():
    row = measures.row_of(make_run())
    assert row["auc_train"] == pytest.approx((0.3 + 0.6) / 2)
    assert (row["final_train"], row["greedy_train"], row["semantic_train"], row["steps"]) == (0.7, 0.8, 0.9, 10)
    assert row["smoothness"] == pytest.approx(np.std([0.5, 0, 0.5, 0, 0, 0, 0, 0, 0]))
    assert row["kl_variance"] == pytest.approx(1.0), "the first fifth is left out"
    assert row["kl_jitter"] == pytest.approx(2.0)
    assert row["entropy_variance"] == 0.0
    assert row["value_loss_variance"] == pytest.approx(0.01 / 0.04)
    assert row["value_loss_variance_raw"] == pytest.approx(0.01)
    assert (row["collapsed"], row["reward_share"]) == (False, 0.25)


def test_a_task_without_held_out_prompts_has_none_of_their_numbers():
    row = measures.row_of(make_run(held_out=False))
    assert [row[f"{name}_held_out"] for name in ("auc", "final", "greedy", "semantic", "start")] == [None] * 5


@pytest.mark.parametrize(
    ("accuracy", "numbers", "broken"),
    [
        ([0.1, 0.6, 0.31], [], False),
        ([0.1, 0.6, 0.29], [], True),  # below half of its best
        ([0.1, 0.15, 0.09], [], True),  # below its start
        ([0.1, 0.6, 0.6], [float("nan")], True),
    ],
)
def test_the_collapse_rule(accuracy, numbers, broken):
    assert measure.collapsed(accuracy, numbers) is broken


def test_episodes_are_counted_to_the_best_rewards_mark():
    """binary ends at 0.7 on average, clipped at 0.5: the mark is 0.63, whatever an arm beyond the claim reaches."""
    runs = [
        make_run("binary", 0, (0.1, 0.5, 0.8)),
        make_run("binary", 1, (0.1, 0.5, 0.6)),
        make_run("pgsrm-clipped", 0, (0.1, 0.2, 0.5)),
        make_run("contrast", 0, (0.1, 0.63, 1.0)),
    ]
    rows = measures.add_episodes([measures.row_of(run) for run in runs], runs)
    assert [row["threshold"] for row in rows] == [pytest.approx(0.63)] * 4
    between = 500 + 500 * (0.63 - 0.5) / 0.3
    assert [row["episodes_to_90"] for row in rows] == [pytest.approx(between), 1000.0, 1000.0, pytest.approx(500.0)]
    assert [row["reached_90"] for row in rows] == [True, False, False, True]


@pytest.fixture
def table(tmp_path):
    """Three seeds; clipped is 0.2 above binary in accuracy on each, and as steady."""
    runs = [
        make_run(arm, seed, (0.1, 0.3 + gain, 0.5 + gain + seed / 100))
        for arm, gain in (("pgsrm-clipped", 0.2), ("binary", 0.0))
        for seed in range(3)
    ]
    rows = measures.add_episodes([measures.row_of(run) for run in runs], runs)
    write_rows(tmp_path / "results.parquet", rows)
    example = {"task": "colours", "arm": "pgsrm-clipped", "update": "ppo", "seed": 0, "split": "train"}
    example |= {"prompt": "a | b", "reference": "red", "response": "dark `red`", "cosine": 0.9}
    write_rows(tmp_path / "examples.parquet", [example])
    return tmp_path


def test_comparisons_are_paired_by_seed(table):
    results = summary.Results.read(STUDY, table)
    found = summary.compare(results, "colours", "pgsrm-clipped", "final_train")
    assert found.gap == Interval(pytest.approx(0.2), pytest.approx(0.2), pytest.approx(0.2))
    assert (found.pairs, found.p, found.verdict) == (3, 0.25, "supported")
    same = summary.compare(results, "colours", "pgsrm-clipped", "kl_variance")
    assert (same.gap.mean, same.verdict) == (0.0, "undecided")
    assert summary.compare(results, "colours", "bleu", "final_train") is None
    assert findings.tally(results, "pgsrm-clipped", "better sample efficiency") == {
        "supported": 2,
        "not supported": 0,
        "undecided": 0,
    }


def test_a_seed_that_one_arm_lacks_is_no_pair(table):
    results = summary.Results.read(STUDY, table)
    kept = [row for row in results.rows if (row["arm"], row["seed"]) != ("binary", 1)]
    found = summary.compare(replace(results, rows=kept), "colours", "pgsrm-clipped", "final_train")
    assert (found.pairs, found.gap.mean) == (2, pytest.approx(0.2))


def test_two_seeds_decide_nothing(table):
    results = summary.Results.read(STUDY, table)
    two = replace(results, rows=[row for row in results.rows if row["seed"] < 2])
    assert summary.compare(two, "colours", "pgsrm-clipped", "final_train").verdict == "undecided"


def test_the_pages_say_what_the_table_says(table):
    pages = pages_of(table / "results.parquet")
    assert list(pages) == ["pgsrm.md", "pgsrm/verdicts.md", "pgsrm/colours.md", "pgsrm/method.md"]
    verdicts = pages["pgsrm/verdicts.md"]
    assert "supported<br>+20.0 points (+20.0 to +20.0)" not in verdicts, "the claim is judged by the mean over the run"
    assert "supported<br>+15.0 points (+15.0 to +15.0)" in verdicts
    assert "p = 0.25 with 3 seeds" in verdicts
    assert "better sample efficiency: supported 2, not supported 0, undecided 0" in verdicts
    assert r"| `a \| b` | `red` | `dark 'red'` | 0.90 |" in pages["pgsrm/colours.md"]
    assert pages == pages_of(table)


def test_the_findings_are_the_verdicts_of_most_comparisons(table):
    text = " ".join(pages_of(table)["pgsrm.md"].split())
    assert "**Better sample efficiency: yes.** `pgsrm-clipped`: supported in 2, not supported in 0 of 2" in text
    assert "**Smoother reward: not shown.** `pgsrm-clipped`: supported in 0, not supported in 0 of 1" in text
    assert "Recommended: `pgsrm-clipped`" in text
    results = summary.Results.read(STUDY, table)
    swapped = {"binary": "pgsrm-clipped", "pgsrm-clipped": "binary"}
    worse = replace(results, rows=[{**row, "arm": swapped[row["arm"]]} for row in results.rows])
    assert findings.outcome(worse, "better sample efficiency") == "not supported"


def test_what_was_refuted_comes_first(table):
    rows = [row for _, row in read_rows(table / "results.parquet")]
    swapped = {"binary": "pgsrm-clipped", "pgsrm-clipped": "binary"}
    write_rows(table / "results.parquet", [{**row, "arm": swapped[row["arm"]]} for row in rows])
    text = pages_of(table)["pgsrm.md"]
    first = next(line for line in text.splitlines() if line.startswith("- "))
    assert first.startswith("- **Better sample efficiency: no, the opposite.** `pgsrm-clipped`: supported in 0, not")


def test_the_pages_are_written_beside_the_findings(table, tmp_path):
    write_pages(STUDY.pages(table, "mine"), tmp_path / "new")
    first = (tmp_path / "new" / "mine.md").read_text(encoding="utf-8")
    written = sorted(path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new" / "mine").iterdir())
    assert written == ["mine/colours.md", "mine/method.md", "mine/verdicts.md"]
    assert [name for name in written if f"({name})" not in first] == []


def test_the_report_says_the_same_in_html(table):
    pytest.importorskip("plotly")

    curve_rows = [
        {"task": "colours", "arm": arm, "update": "ppo", "seed": 0, "metric": metric, "step": step, "value": 0.5}
        for arm in ("pgsrm-clipped", "binary")
        for metric in make_run()["curves"]
        for step in (0, 1)
    ]
    write_rows(table / "curves.parquet", curve_rows)
    report = STUDY.report(table).read_text(encoding="utf-8")
    plain = {"<code>": "`", "</code>": "`", "<strong>": "**", "</strong>": "**", "<em>": "*", "</em>": "*"}
    for mark, markdown_mark in plain.items():
        report = report.replace(mark, markdown_mark)
    pages = pages_of(table)
    sentences = [*pages["pgsrm/verdicts.md"].split("\n\n")[2:4], *pages["pgsrm/method.md"].split("\n\n")[2:4]]
    assert [sentence for sentence in sentences if f"<p>{sentence}</p>" not in report] == []
    assert "**Recommended: `pgsrm-clipped`**" in report


def test_a_table_of_something_else_is_refused(tmp_path):
    write_rows(tmp_path / "results.parquet", [{"task": "colours"}])
    with pytest.raises(DataError, match="no table of `pgsrm reproduce`"):
        summary.Results.read(STUDY, tmp_path)


def test_the_grid_has_every_arm_and_no_arm_twice(tmp_path):
    jobs = plan(STUDY, [], [], (), 2, PaperProtocol(), tmp_path)
    assert len({job.digest for job in jobs}) == len(jobs)
    assert {job.task for job in jobs} == set(PGSRM_TASKS)
    assert {job.arm for job in jobs} == set(arms.ARMS)
    assert {job.task for job in jobs if job.arm == "clipped-alpha8"} == set(grid.ALPHA_TASKS)
    assert {job.task for job in jobs if job.update == "reinforce"} == set(grid.REINFORCE_TASKS)
    assert [job.seed for job in jobs] == sorted(job.seed for job in jobs)
    assert len({job.warm_start for job in jobs}) == 10, "one a task and seed, whatever the reward"
    chosen = plan(STUDY, ["copying"], ["binary"], ("reinforce",), 1, PaperProtocol(), tmp_path)
    assert [(job.task, job.arm, job.update) for job in chosen] == [("copying", "binary", "reinforce")]


def test_unknown_names_get_the_nearest(tmp_path):
    with pytest.raises(SpecError, match=r"no task 'colors'.*colours"):
        plan(STUDY, ["colors"], [], (), 1, PaperProtocol(), tmp_path)
    with pytest.raises(SpecError, match=r"no arm 'pgsrm-cliped'.*pgsrm-clipped"):
        plan(STUDY, [], ["pgsrm-cliped"], (), 1, PaperProtocol(), tmp_path)


def test_whatever_changes_a_run_changes_its_digest(tmp_path):
    job = Job(STUDY, "colours", "binary", "ppo", 0, PaperProtocol(), tmp_path)
    others = [
        replace(job, task="copying"),
        replace(job, arm="bleu"),
        replace(job, update="reinforce"),
        replace(job, seed=1),
        replace(job, protocol=replace(PaperProtocol(), steps=61)),
        replace(job, protocol=replace(PaperProtocol(), ppo=replace(PaperProtocol().ppo, clip=0.3))),
    ]
    assert len({job.digest, *(other.digest for other in others)}) == 7
    assert replace(job, out=tmp_path / "elsewhere").digest == job.digest


@pytest.mark.parametrize("arm", arms.ARMS.values(), ids=lambda arm: arm.name)
def test_every_arm_is_a_spec(arm):
    spec = parse_spec(arms.spec_text(arm, FLOOR, ["red", "a: b", "red"]))
    assert spec.name == arm.name
    assert (spec.encoder is not None) is arm.encoder
    for term in spec.terms.values():
        if getattr(term, "floor", None) is not None:
            assert (term.floor.value, term.floor.encoder) == (0.31, "hf:x")
        assert getattr(term, "others", ()) in ((), ("a: b", "red"))


def test_figures_are_rounded_the_same_way_everywhere():
    spread = {name: one.spread for name, one in measures.MEASURES.items()}
    assert spread["auc_train"](Interval(0.12345, 0.1, 0.2)) == "12.3 % (10.0 to 20.0)"
    assert spread["episodes_to_90"](Interval(1234.5, 900.0, 2000.0)) == "1,234 (900 to 2,000)"
    assert spread["kl_variance"](Interval(0.00123456, 0.001, 0.002)) == "0.00123 (0.001 to 0.002)"


def test_differences_are_signed_and_what_rounds_to_zero_is_not():
    gap = measures.MEASURES["auc_train"].gap
    assert gap(Interval(-0.0533, -0.07, 0.0351)) == "\N{MINUS SIGN}5.3 points (\N{MINUS SIGN}7.0 to +3.5)"
    assert gap(Interval(0.0004, -0.0004, 0.01)) == "0.0 points (0.0 to +1.0)"


COMMITTED = [study for study in STUDIES if (ROOT / "docs" / "results" / study.name).is_dir()]


@pytest.mark.parametrize("study", COMMITTED, ids=lambda study: study.name)
def test_the_committed_pages_are_what_the_committed_results_make(study):
    folder = ROOT / "docs" / "results" / study.name
    assert study_of(folder) == study
    pages = study.pages(folder, study.name)
    committed = {
        path.relative_to(folder.parent).as_posix()
        for path in (folder.with_suffix(".md"), *folder.glob("*.md"), *folder.glob("*.svg"))
    }
    assert committed == set(pages)
    for name, text in pages.items():
        assert (folder.parent / name).read_text(encoding="utf-8") == text, (
            f"write it: pgsrm reproduce page docs/results/{study.name} --out docs/results/{study.name}.md"
        )


def test_the_committed_findings_are_one_screen():
    lines = (ROOT / "docs" / "results" / "pgsrm.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 55
    assert max(map(len, lines)) <= 130
