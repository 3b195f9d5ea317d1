"""Invariant 2: one spec gives the same numbers in training on Lightning and from the command line."""

from __future__ import annotations

import json

import pytest

from pgsrm_lightning import PPOConfig, PromptData, RLModule, RolloutLog, SamplingConfig
from pgsrm_plugin.cli import main

SPEC = """
encoder: {kind: hf, model: sentence-transformers/all-MiniLM-L6-v2}
terms:
  semantic: {alpha: 1.5}
  exact_match: {}
  bleu: {when: {column: prompt, equals: [mix red and blue is, mix blue and red is]}}
  length: {mode: relative, unit: tokens}
  repetition: {ngram: 1}
weights: {semantic: 0.7, exact_match: 0.2, bleu: 0.1, length: 0, repetition: -0.1}
"""


def test_lightnings_rewards_are_those_of_pgsrm_score(tiny_child, colour_file, quiet_trainer, tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    module = RLModule(tiny_child, spec, PPOConfig(group_size=4, epochs=1), SamplingConfig(max_new_tokens=6))
    log = RolloutLog(tmp_path / "rollouts.jsonl", every=1, rows=100)
    quiet_trainer(callbacks=[log]).fit(module, PromptData(colour_file, prompts_per_step=9, steps=2))
    trained = [json.loads(line) for line in (tmp_path / "rollouts.jsonl").read_text().splitlines()]
    assert len(trained) == 2 * 9 * 4
    assert len({row["response"] for row in trained}) > 10

    bare = [{name: value for name, value in row.items() if not name.startswith("reward")} for row in trained]
    data, out = tmp_path / "rows.jsonl", tmp_path / "scored.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in bare))
    with pytest.raises(SystemExit) as stopped:
        main(["score", str(data), "--spec", str(spec), "--out", str(out)])
    assert stopped.value.code == 0
    scored = [json.loads(line) for line in out.read_text().splitlines()]
    for row, again in zip(trained, scored, strict=True):
        numbers = {name: value for name, value in row.items() if name.startswith("reward")}
        assert {name: again[name] for name in numbers} == pytest.approx(numbers, abs=1e-6)


# --- credit -----------------------------------------------------------------------------------------------------------

CREDITED = """
encoder: {kind: hashing}
text: {answer_tag: answer}
terms: {semantic: {}, repetition: {ngram: 1}}
weights: {semantic: 1, repetition: -0.1}
credit: {kind: KIND, segments: clause, alpha: 0.7, scale: density}
"""
ANSWERS = [
    "<think>等等, hm.</think> <answer>红色。绿色\uff0calso good! So be it.</answer> Done.",
    "<answer>Red, green; blue.</answer>",
    "<think>no answer",
    "<answer>😀 e\u0301tude: fin. Naïve, oui.</answer>",
]


@pytest.mark.parametrize("kind", ["leave_one_out", "prefix", "owen"])
def test_lightnings_credit_is_that_of_verls_colocated_mode(kind, tmp_path):
    """The same rollouts, of a tokenizer by which a Chinese character is three tokens."""
    pytest.importorskip("verl")
    import torch
    from byte_tokens import byte_tokenizer
    from verl_support import colocated_config

    from pgsrm_lightning.meter import Meter
    from pgsrm_lightning.rollout.generate import Rollout
    from pgsrm_lightning.rollout.text_credit import text_credit
    from pgsrm_plugin import RewardSample, SemanticReward, load_spec
    from pgsrm_verl.colocated.rewards import ColocatedRewards
    from pgsrm_verl.colocated.rollouts import Rollouts

    spec = tmp_path / "spec.yaml"
    spec.write_text(CREDITED.replace("KIND", kind), encoding="utf-8")
    tokenizer = byte_tokenizer()
    rows = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in ANSWERS]
    samples = [RewardSample("Colours?", text, ("Red and green, 红色。",), group=0) for text in ANSWERS]
    width = max(map(len, rows))
    tokens_BS = torch.tensor([[5, *row, *[0] * (width - len(row))] for row in rows])
    mask_BT = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows])
    rollout = Rollout(tokens_BS, torch.ones_like(tokens_BS), mask_BT, mask_BT[:, 0], ANSWERS)
    reward = SemanticReward(load_spec(spec))
    everyone_B = torch.ones(len(rows), dtype=torch.bool)
    ours_BT = text_credit(reward, samples, rollout, everyone_B, tokenizer, Meter(torch.device("cpu")))

    rewards = ColocatedRewards(colocated_config(spec=str(spec)))
    rewards.start(None)
    own = [[1] * len(row) for row in rows]
    given = Rollouts(samples, [len(row) for row in rows], rows, own, list(range(len(rows))))
    theirs, metrics = rewards.credit(given, rewards.score(given, "train")[0], tokenizer)
    for ours_T, theirs_T, row in zip(ours_BT, theirs, rows, strict=True):
        torch.testing.assert_close(ours_T[: len(row)], theirs_T, atol=1e-5, rtol=0)
    assert float(ours_BT.abs().max()) > 0.1
    assert ours_BT[2].abs().sum() == 0, "there is no answer"
    assert metrics["pgsrm/credit_texts"] > 2
