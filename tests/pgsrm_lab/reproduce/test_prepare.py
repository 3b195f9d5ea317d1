"""The probability of an answer: against one token after the other, without padding, and against sampling."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("lightning")

from pgsrm_lab.reproduce.prepare import chance_of_answer
from pgsrm_lightning import SamplingConfig
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import generate
from pgsrm_plugin.data.rows import read_records

PROMPTS = ["mix red", "mix red and blue is", "green"]
ANSWERS = ["blue", "red green", "is"]


def one_by_one(policy, prompt, answer):
    tokens = policy.tokenizer(prompt)["input_ids"]
    probability = 1.0
    for token in [*policy.tokenizer(f" {answer}")["input_ids"], policy.eos_ids[0]]:
        with torch.no_grad():
            logits = policy.lm(torch.tensor([tokens])).logits[0, -1]
        probability *= logits.double().softmax(-1)[token].item()
        tokens = [*tokens, token]
    return probability


def test_it_is_the_product_of_the_tokens_probabilities(tiny_child):
    policy = Policy(tiny_child)
    each = [one_by_one(policy, prompt, answer) for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)]
    assert chance_of_answer(policy, PROMPTS, ANSWERS) == pytest.approx(sum(each) / 3, rel=1e-4)
    assert chance_of_answer(policy, PROMPTS[:1], ANSWERS[:1]) == pytest.approx(each[0], rel=1e-4)


def test_it_is_what_sampling_finds(tiny_child, jsonl):
    policy = Policy(tiny_child)
    records = read_records(jsonl("one.jsonl", [{"prompt": "mix red", "reference": "blue"}]), responses=False)
    chance = chance_of_answer(policy, ["mix red"], ["blue"])
    rows = 4000
    rollout = generate(policy, records * rows, SamplingConfig(max_new_tokens=2), torch.device("cpu"), seed=1)
    ended = [text == "blue" and not cut for text, cut in zip(rollout.texts, rollout.truncated_B.tolist(), strict=True)]
    assert sum(ended) / rows == pytest.approx(chance, abs=4 * (chance / rows) ** 0.5)
