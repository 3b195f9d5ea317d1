"""Eight rows that every stack is given in its own form, and what stands in them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from pgsrm_plugin.types import RewardSample

BITS = """
name: bits
encoder: {kind: hashing, dimensions: 64}
terms: {semantic: {}, exact_match: {against: ground_truth}, repetition: {}}
weights: {semantic: 0.7, exact_match: 0.2, repetition: -0.1}
"""
"""A spec without a model."""


class Case(NamedTuple):
    """A row: ``said`` is text or messages, ``label`` what a data set may hold in its one column of labels, ``sample``
    the same by hand."""

    prompt: Any
    said: Any
    label: Any
    sample: RewardSample

    @property
    def text(self) -> str:
        """What a stack without messages decodes."""
        return self.said if isinstance(self.said, str) else self.said[-1]["content"]

    @property
    def asked(self) -> str:
        """The prompt as such a stack templates it."""
        if isinstance(self.prompt, str):
            return self.prompt
        return "".join(f"<|im_start|>{one['role']}\n{one['content']}<|im_end|>\n" for one in self.prompt)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as messages."""
        return [{"role": "user", "content": self.prompt}] if isinstance(self.prompt, str) else self.prompt


TWO = {"references": ["crimson red", "red"], "ground_truth": "red"}
TREES = {"references": ["an oak", "a tree"], "ground_truth": "oak"}
SKY = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "sky?"}]
TOOL = [
    {"role": "assistant", "content": "let me look"},
    {"role": "tool", "content": "violet violet violet"},
    {"role": "assistant", "content": "it is violet"},
]
CASES = {
    "an empty answer": Case("empty", "", "blue", RewardSample("empty", "", ("blue",), "blue")),
    "a chat": Case(
        SKY, "the sky is blue", "blue as the sky", RewardSample(SKY, "the sky is blue", ("blue as the sky",))
    ),
    "two references": Case("two", "red", TWO, RewardSample("two", "red", ("crimson red", "red"), "red")),
    "a special token": Case("special", "green<|im_end|>", "green", RewardSample("special", "green", ("green",))),
    "a tool's tokens": Case("tool", TOOL, "violet", RewardSample("tool", "it is violet", ("violet",))),
    "a number": Case("number", "4", 4, RewardSample("number", "4", ("4",), "4")),
    "a label in JSON": Case("json", "oak", json.dumps(TREES), RewardSample("json", "oak", ("an oak", "a tree"), "oak")),
    "beyond ASCII": Case("beyond", "grün \U0001f600", "grün", RewardSample("beyond", "grün \U0001f600", ("grün",))),
}


def samples() -> list[RewardSample]:
    """The rows by hand; where no ground truth is said, the reference is it."""
    from dataclasses import replace

    return [
        one.sample if one.sample.ground_truth else replace(one.sample, ground_truth=one.sample.references[0])
        for one in CASES.values()
    ]
