"""`pgsrm parent rubrics`, `pgsrm score` with a judge and its dry run, as typed, against a server on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from judge_server import JudgeServer

from pgsrm_plugin import DataError, RewardSample, SemanticReward, parse_spec


@pytest.fixture
def server():
    with JudgeServer() as running:
        yield running


def jsonl(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def spec_file(path: Path, server, settings: str) -> Path:
    path.write_text(f"terms: {{judge: {{base_url: {server.url}, model: j, {settings}}}}}\n")
    return path


def test_a_parent_writes_rubrics_once_and_the_judge_uses_them(server, pgsrm, tmp_path):
    rows = [
        {"prompt": "rain  wind", "reference": "It rains.", "bad": "It is dry."},
        {"prompt": [{"role": "user", "content": "snow"}], "reference": "It snows.", "bad": ["Sun.", "Fog."]},
    ]
    data = jsonl(tmp_path / "p.jsonl", *rows)
    command = ("parent", "rubrics", data, "--engine", "openai", "--model", "m", "--base-url", server.url)
    command += ("--out", tmp_path / "rubrics", "--worse-field", "bad")
    status, _, err = pgsrm(*command[:-1], "bda", "--dry-run")
    assert (status, "p.jsonl:1: field 'bda' is missing (the row has: prompt, reference, bad)" in err) == (2, True)
    status, out, _ = pgsrm(*command, "--dry-run", "--price-in", 1, "--price-out", 2)
    assert (status, server.seen.bodies) == (0, [])
    assert "calls             2" in out
    assert "cost              at most" in out
    status, out, _ = pgsrm(*command)
    assert (status, "2 of 2 prompts have a rubric" in out) == (0, True)
    asked = server.seen.bodies[-1]["messages"][-1]["content"] + server.seen.bodies[-2]["messages"][-1]["content"]
    assert asked.count("[begin good answer]") == 2
    assert asked.count("[begin worse answer]") == 3
    assert "what the worse ones lack" in asked
    status, out, _ = pgsrm(*command)
    assert (status, "2 were in the store" in out, len(server.seen.bodies)) == (0, True, 2)

    reward = SemanticReward(
        parse_spec(f"terms: {{judge: {{base_url: {server.url}, model: j, rubric_store: {tmp_path / 'rubrics'}}}}}")
    )
    samples = [RewardSample("rain wind", "rain"), RewardSample("rain wind", "wind"), RewardSample("snow", "snow")]
    assert reward.score(samples).total_B.tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])
    with pytest.raises(DataError, match=r"row 1: .* has no rubric of the prompt; write it with `pgsrm parent rubrics`"):
        reward.score([RewardSample("hail", "rain")])


def test_answers_that_are_no_rubric_are_told(server, pgsrm, tmp_path):
    data = jsonl(tmp_path / "p.jsonl", {"prompt": "rain"}, {"prompt": "garble"})
    command = ("parent", "rubrics", data, "--engine", "openai", "--model", "m", "--base-url", server.url)
    status, out, err = pgsrm(*command, "--out", tmp_path / "rubrics")
    assert (status, "1 of 2 prompts have a rubric" in out) == (1, True)
    assert "1 answers are no rubric" in err
    assert "p.jsonl:2" in err


def test_score_shows_what_a_judge_would_cost_and_then_asks_that_much(server, pgsrm, tmp_path):
    rows = [{"prompt": "why", "response": text} for text in ("rain", "snow", "rain", "Solution:")]
    data, out = jsonl(tmp_path / "d.jsonl", *rows), tmp_path / "scored.jsonl"
    spec = spec_file(tmp_path / "s.yaml", server, "rubric: [has rain], store: ./judged")
    command = ("score", data, "--spec", spec)
    status, told, _ = pgsrm(*command, "--dry-run", "--price-in", 1, "--price-out", 2)
    assert (status, server.seen.bodies) == (0, [])
    assert "=== judge: j ===" in told
    assert "calls             2" in told
    assert "answer tokens     at most 1024" in told
    assert "up to 2 times as much where its answers are not in the form asked for" in told
    status, _, _ = pgsrm(*command, "--out", out)
    assert (status, len(server.seen.bodies)) == (0, 2)
    scored = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["reward"] for row in scored] == [1.0, 0.0, 1.0, 0.0]
    assert {row["reward/declined/judge"] for row in scored} == {0.0}
    status, told, _ = pgsrm(*command, "--dry-run")
    assert "calls             0" in told
    status, _, err = pgsrm(*command)
    assert (status, "--out is missing" in err) == (2, True)


def test_a_listwise_group_is_one_call_of_the_dry_run(server, pgsrm, tmp_path):
    data = jsonl(tmp_path / "d.jsonl", {"prompt": "why", "responses": ["a 1", "b 2", "c 3"]})
    spec = spec_file(tmp_path / "s.yaml", server, "rubric: [has rain], mode: listwise")
    status, told, _ = pgsrm("score", data, "--spec", spec, "--dry-run")
    assert (status, "calls             1" in told) == (0, True)
    status, _, _ = pgsrm("score", data, "--spec", spec, "--out", tmp_path / "o.jsonl")
    rewards = [json.loads(line)["reward"] for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert (status, rewards) == (0, [0.0, 0.25, 0.5])


def test_the_dry_run_of_a_spec_without_a_judge(pgsrm, tmp_path):
    data = jsonl(tmp_path / "d.jsonl", {"prompt": "why", "response": "a", "reference": "a"})
    status, told, _ = pgsrm("score", data, "--spec", "binary", "--dry-run")
    assert (status, "no term of this spec asks a language model" in told) == (0, True)
