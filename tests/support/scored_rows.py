"""Rows in every form that stacks hand over, and a spec that scores them without a model."""

from __future__ import annotations

SPEC = """
name: test
encoder: {kind: hashing, dimensions: 64}
terms: {semantic: {}, exact_match: {against: ground_truth}, repetition: {}}
weights: {semantic: 0.7, exact_match: 0.2, repetition: -0.1}
"""
ROWS = [
    {"prompt": "q", "response": "", "label": "blue"},
    {"prompt": [{"role": "user", "content": "sky?"}], "response": "the sky is blue", "answer": "blue as the sky"},
    {"prompt": "two", "response": "red", "references": ["crimson red", "red"], "ground_truth": "red"},
    {"prompt": "special", "response": "green<|im_end|>", "solution": "green"},
    {
        "prompt": "tool",
        "response": [
            {"role": "assistant", "content": "let me look"},
            {"role": "tool", "content": "violet violet violet"},
            {"role": "assistant", "content": "it is violet"},
        ],
        "target": "violet",
    },
    {"prompt": "number", "response": "4", "label": 4},
    {"prompt": "json", "response": "oak", "label": '{"references": ["an oak", "a tree"], "ground_truth": "oak"}'},
    {"prompt": "verl", "response": "grey \ud83d", "reward_model": {"ground_truth": "grey"}, "data_source": "x"},
]
