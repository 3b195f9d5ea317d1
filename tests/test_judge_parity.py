"""Invariant 2 for a judge: the same numbers from the command, the scorer, the service, verl and Lightning."""

from __future__ import annotations

import json

import pytest
from judge_server import JudgeServer
from served import InThread

from pgsrm_lightning import GRPOConfig, PromptData, RLModule, RolloutLog, SamplingConfig
from pgsrm_plugin import RewardSample, Scorer, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.cli import main
from pgsrm_plugin.errors import ScorerError

ANSWERS = ("it rains 5", "it snows 2", "rain and rain 4", "Solution:", "rain garble")
RUBRIC = "rubric: [has rain, {text: graded depth, graded: true}]"


@pytest.fixture
def server():
    with JudgeServer() as running:
        yield running


def judge(server, mode: str = "pointwise", more: str = "") -> str:
    fast = "retries: 1, deadline_s: 5, timeout_s: 2"
    return f"terms: {{judge: {{base_url: {server.url}, model: j, {fast}, mode: {mode}, {RUBRIC}{more}}}}}\n"


def rows(*answers: str) -> list[dict]:
    return [{"prompt": "what is it", "response": answer, "group": 0} for answer in answers]


@pytest.mark.parametrize("mode", ["pointwise", "listwise", "tournament"])
def test_the_scorer_and_the_service_give_the_numbers_of_the_command(server, mode, tmp_path):
    text = judge(server, mode)
    (tmp_path / "spec.yaml").write_text(text)
    data, out = tmp_path / "rows.jsonl", tmp_path / "scored.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows(*ANSWERS)))
    with pytest.raises(SystemExit):
        main(["score", str(data), "--spec", str(tmp_path / "spec.yaml"), "--out", str(out)])
    told = [json.loads(line)["reward"] for line in out.read_text().splitlines()]
    with Scorer(parse_spec(text)) as scorer:
        assert [row["reward"] for row in scorer.score_rows(rows(*ANSWERS))] == told
    with InThread(SemanticReward(parse_spec(text))) as service, Scorer(service.url) as remote:
        assert [row["reward"] for row in remote.score_rows(rows(*ANSWERS))] == told
        with pytest.raises(ScorerError):
            remote.score_rows(rows("fault:500 rain", "wind"))
    assert (
        told
        == {
            "pointwise": [0.5 * (1 + 1), 0.5 * (0 + 0.25), 0.5 * (1 + 0.75), 0.0, 0.0],
            "listwise": [0.0] * 5,  # one answer makes the judge lose its form, and the group its scores
            "tournament": [1.0, 0.0, 0.5, 0.0, 0.0],
        }[mode]
    )


def test_verl_streaming_asks_for_each_response_and_refuses_what_needs_a_group(server, tmp_path):
    pytest.importorskip("verl", reason="verl is not installed")
    from reward_managers import Run

    run = Run(tmp_path, judge(server))
    pairs = [(row, answer) for row in run.rows[:2] for answer in ANSWERS[:4]]
    got = [one["reward_score"] for one in run.answer(pairs)]
    samples = [RewardSample(row["prompt"], answer) for row, answer in pairs]
    assert got == pytest.approx(SemanticReward(parse_spec(judge(server))).score(samples).total_B.tolist())
    with pytest.raises(SpecError, match="term 'judge' compares the responses to one prompt, and here they come one by"):
        Run(tmp_path, judge(server, "listwise")).manager()


@pytest.mark.parametrize("mode", ["pointwise", "listwise"])
def test_lightning_trains_on_a_judge(server, mode, tiny_child, colour_file, quiet_trainer, tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text("encoder: {kind: hashing}\n" + judge(server, mode).replace("terms: {", "terms: {novelty: {}, "))
    module = RLModule(tiny_child, spec, GRPOConfig(group_size=4), SamplingConfig(max_new_tokens=6))
    log = RolloutLog(tmp_path / "rollouts.jsonl", every=1, rows=100)
    quiet_trainer(callbacks=[log]).fit(module, PromptData(colour_file, prompts_per_step=3, steps=2))
    trained = [json.loads(line) for line in (tmp_path / "rollouts.jsonl").read_text().splitlines()]
    assert len(trained) == 2 * 3 * 4
    for start in range(0, len(trained), 4):
        group = trained[start : start + 4]
        samples = [RewardSample(row["prompt"], row["response"], group=0) for row in group]
        again = SemanticReward(parse_spec(spec.read_text())).score(samples)
        assert [row["reward"] for row in group] == pytest.approx(again.total_B.tolist())
        assert [row["reward/novelty"] for row in group] == pytest.approx(again.terms["novelty"].tolist(), abs=1e-6)


def test_an_outage_ends_the_training(server, tiny_child, colour_file, quiet_trainer, tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(judge(server, more=", budget: 1"))
    module = RLModule(tiny_child, spec, GRPOConfig(group_size=4), SamplingConfig(max_new_tokens=6))
    with pytest.raises(ScorerError, match="the budget of 1 calls of 'j' is spent"):
        quiet_trainer().fit(module, PromptData(colour_file, prompts_per_step=3, steps=2))
