"""`pgsrm baselines generate`, as typed: from a server, from a real tiny model, and on into training."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from parent_server import Behaviour, ParentServer

from pgsrm_plugin import RewardSample
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import load_spec

SPEC = """
terms: {exact_match: {}, loops: {kind: repetition, ngram: 1}}
weights: {exact_match: 1, loops: -0.5}
shape: {kind: par, k: 4, baselines: policy.jsonl}
"""


@pytest.fixture
def server():
    with ParentServer(Behaviour(retry_after="0.01")) as running:
        yield running


@pytest.fixture
def generate(server, tmp_path, pgsrm):
    """`pgsrm baselines generate` from the server; ROWS, SPEC and scores stand in tmp_path."""

    def run(rows: list[dict[str, Any]], *options: object, spec: str = SPEC):
        (tmp_path / "spec.yaml").write_text(spec)
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        command = ("baselines", "generate", tmp_path / "rows.jsonl", "--spec", tmp_path / "spec.yaml")
        policy = ("--engine", "openai", "--model", "m", "--base-url", server.url, "--out", tmp_path / "store")
        return pgsrm(*command, *policy, "--scores", tmp_path / "policy.jsonl", *options)

    return run


def row(said: str, reference: str, **more: Any) -> dict[str, Any]:
    """A prompt to which the server says that."""
    return {"prompt": f"say:{said}", "reference": reference, **more}


def scores(tmp_path: Path) -> list[list[float]]:
    return [json.loads(line)["scores"] for line in (tmp_path / "policy.jsonl").read_text().splitlines()]


def test_each_answer_is_scored_by_the_spec_without_its_shape(generate, server, tmp_path):
    rows = [row("blue", "blue"), row("a a", "blue"), row("blue", "red"), row("blue", "blue", item="again")]
    status, out, _ = generate(rows, "--n", 2)
    assert (status, "3 of 3 rows have a baseline" in out) == (0, True)
    assert scores(tmp_path) == [[1.0, 1.0], [-0.25, -0.25], [0.0, 0.0]]
    reward = SemanticReward(load_spec(tmp_path / "spec.yaml"))
    rows = [
        RewardSample(f"say:{said}", "blue", (reference,)) for said, reference in (("blue", "blue"), ("a a", "blue"))
    ]
    assert reward.score(rows).total_B.tolist() == pytest.approx([0.5, 1 / (1 + math.exp(-5))])


def test_another_spec_asks_nothing_anew(generate, server, tmp_path):
    rows = [row("blue", "blue"), row("red", "blue")]
    generate(rows, "--n", 2)
    asked = server.seen.calls.copy()
    assert sum(asked.values()) == 4
    status, _, _ = generate(rows, "--n", 2, spec=SPEC.replace("exact_match: 1", "exact_match: 3"))
    assert (status, scores(tmp_path)) == (0, [[3.0, 3.0], [0.0, 0.0]])
    assert server.seen.calls == asked
    SemanticReward(load_spec(tmp_path / "spec.yaml"))


def test_blank_answers_earn_the_floor_and_failed_ones_are_none(generate, tmp_path):
    rows = [row("blue", "blue"), {"prompt": "fault:blank", "reference": "x"}, {"prompt": "fault:400", "reference": "x"}]
    status, _, err = generate(rows, "--n", 1)
    assert (status, scores(tmp_path)) == (1, [[1.0], [-0.5]])
    assert "1 rows have no baseline (" in err
    assert "rows.jsonl:3): no answer in the store; the same command, or `pgsrm parent retry-failed`, asks again" in err


def test_what_is_left_out_of_the_loss_is_no_baseline(generate, tmp_path):
    rows = [row("blue", "blue"), {"prompt": "fault:blank", "reference": "x"}]
    status, _, err = generate(rows, "--n", 1, spec=SPEC + "unscorable: raise\n")
    assert (status, scores(tmp_path)) == (1, [[1.0]])
    assert "rows.jsonl:2): only answers that cannot be scored, which unscorable: raise leaves out" in err


@pytest.mark.parametrize(
    ("rows", "options", "spec", "said"),
    [
        ([{"prompt": "p"}], (), SPEC, "rows.jsonl:1: field 'reference' is missing"),
        (
            [row("a", "b")],
            (),
            "terms: {exact_match: {}}\naggregate: vote",
            "aggregate: vote says what a response is worth",
        ),
        ([row("a", "b")], ("--temperature", 0), SPEC, "--n 4 with temperature 0 asks for the same answer 4 times"),
        ([row("a", "b")], ("--scores", "/no/where.jsonl"), SPEC, "there is no folder /no"),
    ],
)
def test_a_mistake_is_said_before_any_call(generate, server, rows, options, spec, said):
    status, _, err = generate(rows, *options, spec=spec)
    assert (status, said in err, sum(server.seen.calls.values())) == (2, True, 0)


def test_a_dry_run_and_a_limit(generate, server, tmp_path):
    rows = [row("blue", "blue"), row("blue", "red"), row("red", "red")]
    status, out, _ = generate(rows, "--n", 3, "--dry-run")
    assert (status, "2 distinct prompts, 6 answers wanted" in out, sum(server.seen.calls.values())) == (0, True, 0)
    status, _, _ = generate(rows, "--n", 1, "--limit", 1)
    assert (status, scores(tmp_path)) == (0, [[1.0], [0.0]])


def test_verls_rows_and_those_of_a_training_on_lightning_find_theirs(generate, tmp_path):
    from pgsrm_verl.rows import RowReader

    prompt = [{"role": "user", "content": "say:blue"}]
    info = {"reward_model": {"ground_truth": "blue"}, "extra_info": {"answer": "red"}}
    status, _, _ = generate([{"prompt": prompt, **info}], "--n", 1)
    assert (status, scores(tmp_path)) == (0, [[1.0]])
    reward = SemanticReward(load_spec(tmp_path / "spec.yaml"))
    assert reward.score([RowReader().sample(info, prompt, "blue")]).total_B.tolist() == [0.5]
    generate([{"prompt": prompt, **info}], "--n", 1, "--reference-field", "extra_info.answer")
    reward = SemanticReward(load_spec(tmp_path / "spec.yaml"))
    reader = RowReader(reference_field="extra_info.answer")
    assert reward.score([reader.sample(info, prompt, "blue")]).diagnostics["baseline"].tolist() == [0.0]


def test_a_real_child_is_trained_above_its_own_baselines(tiny_child, colour_rows, quiet_trainer, pgsrm, tmp_path):
    """The whole way: its answers by transformers, a shaped spec, PPO on Lightning with the numbers of the spec."""
    from pgsrm_lightning import PPOConfig, PromptData, RLModule, RolloutLog, SamplingConfig

    (tmp_path / "spec.yaml").write_text(SPEC)
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in colour_rows))
    command = ("baselines", "generate", data, "--spec", tmp_path / "spec.yaml", "--scores", tmp_path / "policy.jsonl")
    policy = ("--engine", "hf", "--model", tiny_child, "--out", tmp_path / "store", "--max-tokens", 6)
    status, _, err = pgsrm(*command, *policy, "--engine-arg", "device=cpu")
    assert status == 0, err
    module = RLModule(
        tiny_child, tmp_path / "spec.yaml", PPOConfig(group_size=2, epochs=1), SamplingConfig(max_new_tokens=6)
    )
    log = RolloutLog(tmp_path / "rollouts.jsonl", every=1, rows=100)
    trainer = quiet_trainer(callbacks=[log])
    val = {"colours": str(data)}
    trainer.fit(module, PromptData(str(data), val, prompts_per_step=9, steps=1))
    rollouts = [json.loads(line) for line in (tmp_path / "rollouts.jsonl").read_text().splitlines()]
    own = {json.loads(line)["prompt"]: json.loads(line)["scores"] for line in (tmp_path / "policy.jsonl").open()}
    trained = [row for row in rollouts if row["split"] == "train"]
    assert len(trained) == 18
    for one in trained:
        held = own[one["prompt"]]
        expected = [1 / (1 + math.exp(-4 * (one["reward/unshaped"] - score))) for score in held]
        assert one["reward"] == pytest.approx(sum(expected) / len(expected))
    assert all("reward/unshaped" not in row for row in rollouts if row["split"] != "train")
    assert "train/reward_unshaped" in trainer.callback_metrics
