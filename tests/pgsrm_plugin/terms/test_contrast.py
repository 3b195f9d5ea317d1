"""Contrast with other prompts' answers, by hand in a plane."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch

from pgsrm_plugin import Embeddings, RewardSample, SemanticReward, SpecError, parse_spec


class Plane:
    """Texts as points of a plane."""

    identity = "plane"
    points: ClassVar = {
        "east": [1.0, 0.0],
        "north": [0.0, 1.0],
        "west": [-2.0, 0.0],
        "north-east": [1.0, 1.0],
        "nowhere": [0.0, 0.0],
    }

    def encode(self, texts):
        return Embeddings(
            torch.tensor([self.points[text] for text in texts]).float().reshape(len(texts), -1),
            torch.ones(len(texts), dtype=torch.int64),
            torch.zeros(len(texts), dtype=torch.bool),
            torch.tensor([text == "nowhere" for text in texts], dtype=torch.bool),
        )


def reward(others, temperature=0.5):
    names = "[" + ", ".join(others) + "]"
    body = f"contrast: {{others: {names}, temperature: {temperature}}}"
    return SemanticReward(parse_spec(f"encoder: {{kind: hf, model: unused}}\nterms: {{{body}}}"), Plane())


def value(response, references, others, temperature=0.5):
    return reward(others, temperature).score([RewardSample("p", response, tuple(references))]).total_B.item()


@pytest.mark.parametrize(
    ("response", "references", "others", "expected"),
    [
        ("north-east", ["east"], ["north"], 0.5),  # as near to the one as to the other
        ("east", ["east"], ["north"], 1 / (1 + math.exp(-2))),
        ("north", ["east"], ["north"], 1 / (1 + math.exp(2))),  # another prompt's answer
        ("east", ["east"], ["north", "west"], 1 / (1 + math.exp(-2) + math.exp(-4))),
        ("north-east", ["west", "east"], ["north"], 0.5),  # the best of the references
        ("north", ["east"], ["east"], 1.0),  # nothing to contrast with
        ("north", ["east"], ["east", "north"], 1 / (1 + math.exp(2))),  # one's own reference is no other answer
    ],
)
def test_contrast_by_hand(response, references, others, expected):
    assert value(response, references, others) == pytest.approx(expected, abs=1e-9)


def test_a_low_temperature_makes_it_a_choice():
    assert value("north-east", ["east"], ["west"], temperature=0.01) == pytest.approx(1.0, abs=1e-12)
    assert value("west", ["east"], ["north"], temperature=0.01) == pytest.approx(0.0, abs=1e-12)


def test_a_row_scores_the_same_alone_and_in_any_batch():
    scorer = reward(["north", "west"])
    samples = [RewardSample("p", text, ("east",)) for text in ("north-east", "east", "west", "north-east")]
    whole = scorer.score(samples).total_B
    assert whole[0] == whole[3]
    assert scorer.score(samples[::-1]).total_B.flip(0).equal(whole)
    assert [scorer.score([sample]).total_B.item() for sample in samples] == whole.tolist()


def test_what_it_cannot_compare_with_is_an_error():
    with pytest.raises(SpecError, match="no representation of 'nowhere'; remove it from others"):
        value("east", ["east"], ["nowhere"])
    with pytest.raises(SpecError, match="others"):
        parse_spec("encoder: {kind: hashing}\nterms: {contrast: {others: []}}")
    with pytest.raises(SpecError, match="'contrast' needs an encoder"):
        parse_spec("terms: {contrast: {others: [a]}}")
