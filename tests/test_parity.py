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
