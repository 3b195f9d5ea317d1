"""The report: files in, one safe and self-contained page out."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from pgsrm_plugin import DataError
from pgsrm_plugin.report import Page, Panel, RunInfo, read_run, write_info, write_report
from pgsrm_plugin.report.figures import curve
from pgsrm_plugin.report.samples import _sampled
from pgsrm_plugin.report.stats import Interval, along, by_label, difference, interval, seconds
from pgsrm_plugin.report.templates import environment

pytest.importorskip("plotly")

ACCURACY = Panel("val/train/accuracy", "accuracy on training prompts", percent=True)
PAGE = Page(
    title="Colours <b>",
    outcomes=[ACCURACY],
    panels=[ACCURACY, Panel("train/kl", "KL"), Panel("never/logged", "nothing")],
    sample_sets=[("val/train", "training prompts")],
    command="make demo",
)


def make_run(folder, label, seed, accuracies, response="purple", seconds=None):
    folder.mkdir(parents=True)
    rows = ["epoch,step,train/kl,val/train/accuracy"]
    for step, accuracy in enumerate(accuracies):
        rows += [f"0,{step * 10},,{accuracy}", f"0,{step * 10},0.{step},"]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    rollout = {"split": "val/train", "prompt": "red and blue", "references": ["purple"], "reward": 0.25}
    rollout |= {"reward/semantic": 0.5, "reward/semantic/weighted": 0.125}
    lines = [
        json.dumps(rollout | {"when": when, "response": text}) for when, text in [("start", "blue"), ("end", response)]
    ]
    (folder / "rollouts.jsonl").write_text("\n".join(lines) + "\n")
    info = RunInfo(label=label, seed=seed, episodes=640, spec="terms: {semantic: {}}", seconds=seconds or {})
    write_info(folder, info)
    return folder


@pytest.fixture
def runs(tmp_path):
    time = {"total": 20.0, "reward": 1.0}
    folders = [
        make_run(tmp_path / "PGSRM" / "seed0", "PGSRM", 0, [0.3, 0.7, 0.8], seconds=time),
        make_run(tmp_path / "PGSRM" / "seed1", "PGSRM", 1, [0.3, 0.8, 0.9], seconds=time),
        make_run(tmp_path / "binary" / "seed0", "binary", 0, [0.3, 0.4, 0.5], seconds=time),
        make_run(tmp_path / "binary" / "seed1", "binary", 1, [0.3, 0.4, 0.7], seconds=time),
    ]
    return [read_run(folder) for folder in folders]


class Resources(HTMLParser):
    def __init__(self):
        super().__init__()
        self.urls, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.urls += [value for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}]


def test_the_page_asks_nothing_of_the_network(runs, tmp_path):
    page = Resources()
    page.feed(write_report(runs, tmp_path / "report.html", PAGE).read_text())
    assert page.urls == []
    assert "link" not in page.tags
    assert page.tags.count("figure") == 2
    css = (tmp_path / "report.html").read_text().split("</style>")[0]
    assert "url(" not in css
    assert "@import" not in css


def test_the_numbers_are_the_means_of_the_runs(runs, tmp_path):
    text = write_report(runs, tmp_path / "report.html", PAGE).read_text()
    assert (
        "With the PGSRM reward, accuracy on training prompts went from 30.0 % to 85.0 %; "
        "with the binary reward, from 30.0 % to 60.0 % (means of 2 seeds). "
        "PGSRM beat binary here: +25.0 points, 95 % interval +20.0 points to +30.0 points." in text
    )
    rows = {
        name: re.findall(r"<td>(.*?)</td>", cells) for name, cells in re.findall(r"<tr><th>(.*?)</th>(.*?)</tr>", text)
    }
    assert rows["start"][0] == "30.0 %"
    # Trapezoids over steps 0, 10, 20: (0.3 / 2 + 0.7 + 0.8 / 2) / 2 = 0.625 and (0.3 / 2 + 0.8 + 0.9 / 2) / 2 = 0.7.
    assert rows["PGSRM"] == [
        "85.0 %<small>80.0 % to 90.0 %</small>",
        "66.2 %<small>62.5 % to 70.0 %</small>",
        "640",
        "20 s",
        "5.0 %",
    ]
    assert rows["binary, seed 1"] == ["70.0 %"]


def test_a_shares_axis_has_no_negative_part(runs):
    share, loss = (curve(panel, by_label(runs), "x") for panel in PAGE.panels[:2])
    assert '"rangemode":"nonnegative"' in share
    assert "rangemode" not in loss


def test_it_says_so_when_the_first_label_does_not_win(runs, tmp_path):
    swapped = sorted(runs, key=lambda run: run.label == "PGSRM")
    assert (
        "binary did not beat PGSRM here, it ended below" in write_report(swapped, tmp_path / "a.html", PAGE).read_text()
    )
    tie = [
        read_run(make_run(tmp_path / "tie" / f"{label}{seed}", label, seed, [0.3, end]))
        for label, ends in {"PGSRM": [0.4, 0.6], "binary": [0.6, 0.4]}.items()
        for seed, end in enumerate(ends)
    ]
    text = write_report(tie, tmp_path / "b.html", PAGE).read_text()
    assert "PGSRM did not beat binary here, nor binary PGSRM: +0.0 points" in text


def test_one_seed_gets_no_verdict(runs, tmp_path):
    text = write_report([runs[0], runs[2]], tmp_path / "report.html", PAGE).read_text()
    assert "With one seed nothing can be said" in text


def test_a_single_label_is_a_report_too(runs, tmp_path):
    text = write_report(runs[:2], tmp_path / "report.html", PAGE).read_text()
    assert (
        "With the PGSRM reward, accuracy on training prompts went from 30.0 % to 85.0 % (means of 2 seeds).</p>" in text
    )


def test_what_models_wrote_is_escaped(tmp_path):
    wicked = "</td><script>alert(1)</script>{{ 6 * 7 }}\ud800"
    run = read_run(make_run(tmp_path / "x" / "seed0", "<i>x</i>", 0, [0.1, 0.2], response=wicked))
    text = write_report([run], tmp_path / "report.html", PAGE).read_text()
    assert "alert(1)</script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 6 * 7 }}" in text
    assert "<i>x" not in text
    assert "Colours &lt;b&gt;" in text


def test_a_template_says_what_was_done_and_what_it_is_given_is_escaped(runs, tmp_path):
    template = environment("pgsrm_plugin.report").from_string(
        '{% extends "report.html.j2" %}{% block intro %}<p>What was done.</p>{% endblock %}'
        "{% block method %}<h2>Prompts</h2>{{ prompts }}{% endblock %}"
    )
    page = replace(PAGE, template=template, facts={"prompts": "75 & 15", "title": "no title"})
    text = write_report(runs, tmp_path / "report.html", page).read_text()
    assert text.index("<p>What was done.</p>") < text.index("<h2>Learning curves</h2>")
    assert text.index("<h2>Outcome</h2>") < text.index("<h2>Prompts</h2>75 &amp; 15") < text.index("<h2>Reward specs")
    assert "no title" not in text


def test_every_term_of_a_rollout_is_shown_raw(runs, tmp_path):
    text = write_report(runs, tmp_path / "report.html", PAGE).read_text()
    assert "<small>semantic 0.50</small>" in text


def test_intervals_of_known_samples():
    assert interval([0.5]).low == interval([0.5]).high == 0.5
    two = interval([0.0, 1.0])  # resampled means are 0, 1/2, 1 with probability 1/4, 1/2, 1/4
    assert (two.mean, two.low, two.high) == (0.5, 0.0, 1.0)
    assert interval([0.3, 0.3, 0.3]) == Interval(pytest.approx(0.3), pytest.approx(0.3), pytest.approx(0.3))


def test_an_interval_over_many_values_is_the_normal_one():
    values = np.random.default_rng(1).normal(2.0, 1.0, size=400)
    half = 1.96 * values.std() / 20
    found = interval(values.tolist())
    assert (found.low, found.high) == (
        pytest.approx(found.mean - half, abs=0.01),
        pytest.approx(found.mean + half, abs=0.01),
    )


def test_differences_are_paired_by_seed(runs):
    gap = difference(runs[:2], runs[2:], "val/train/accuracy")  # 0.8 - 0.5 and 0.9 - 0.7
    assert gap.mean == pytest.approx(0.25)
    assert (gap.low, gap.high) == (pytest.approx(0.2), pytest.approx(0.3))
    with pytest.raises(DataError, match=r"'PGSRM' has seeds \[0, 1\] and 'binary' \[0\]; only equal seeds"):
        difference(runs[:2], runs[2:3], "val/train/accuracy")
    assert along(runs[:1], "val/train/accuracy") == [pytest.approx(0.625)]
    assert seconds(runs[:2], "total") == 20.0


@pytest.mark.parametrize("name", ["metrics.csv", "rollouts.jsonl", "run.json"])
def test_a_missing_or_empty_file_is_named(tmp_path, name):
    folder = make_run(tmp_path / "a" / "seed0", "a", 0, [0.1, 0.2])
    (folder / name).write_text("")
    with pytest.raises(DataError, match=rf"{name}: the file is empty; the run did not finish"):
        read_run(folder)
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: no such file; the run did not finish"):
        read_run(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.csv", "epoch,loss\n0,1\n", r"metrics.csv:1: there is no column `step`"),
        ("metrics.csv", "step,loss\n", r"metrics.csv: there are no rows below the header"),
        ("metrics.csv", "step,loss\n0,1\n10,0.\n20,tru", r"metrics.csv:4: not a row of numbers"),
        ("rollouts.jsonl", '{"a": 1}\n{"a', r"rollouts.jsonl:2: not JSON"),
        ("rollouts.jsonl", "[1]\n", r"rollouts.jsonl:1: a rollout is an object, not list"),
        ("run.json", '{"label": "x"', r"run.json: the file: Invalid JSON"),
        ("run.json", '{"label": "x", "episodes": 1, "spec": ""}', r"run.json: seed: Field required"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path, name, content, message):
    folder = make_run(tmp_path / "a" / "seed0", "a", 0, [0.1, 0.2])
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_run(folder)


def test_an_unfinished_run_stops_the_report_and_leaves_no_file(runs, tmp_path):
    short = read_run(make_run(tmp_path / "PGSRM" / "seed2", "PGSRM", 2, [0.3, 0.4]))
    with pytest.raises(
        DataError, match=r"PGSRM/seed2: .* has 2 points up to step 10, but PGSRM/seed0 has 3 up to step 20"
    ):
        write_report([*runs[:2], short], tmp_path / "report.html", PAGE)
    with pytest.raises(DataError, match=r"PGSRM/seed0: metrics.csv has no values of 'val/x'"):
        write_report(runs[:2], tmp_path / "report.html", Page("t", [Panel("val/x", "x")], []))
    with pytest.raises(DataError, match="at least one run"):
        write_report([], tmp_path / "report.html", PAGE)
    assert not list(tmp_path.glob("*report.html*"))


def test_a_rollouts_guards_are_shown_with_their_words():
    row = {"response": "seven", "reward/semantic": 0.3, "reward/semantic/weighted": 0.3}
    sampled = _sampled({**row, "guard_words": {"numeric_consistency": ["7", "5"], "length": []}})
    page = environment().from_string("{% import 'parts.html.j2' as parts %}{{ parts.fired(given) }}")
    shown = page.render(given=sampled.fired)
    assert shown == "<small>numeric_consistency: 7, 5</small><small>length: fires</small>"
    assert _sampled(row).fired == {}
