"""relevance against cosines worked out by hand."""

from __future__ import annotations

import pytest
import torch

from pgsrm_plugin import DataError, Embeddings, RewardSample, SemanticReward, parse_spec

SPEC = parse_spec("encoder: {kind: hf, model: unused}\nterms: {relevance: {}}")
PLACES = {"east": [2.0, 0.0], "west": [-1.0, 0.0], "northeast": [3.0, 4.0], "nowhere": [0.0, 0.0]}


class Map:
    """Embeds words as places."""

    identity = "map"

    def encode(self, texts):
        count = torch.ones(len(texts), dtype=torch.int64)
        unknown = torch.tensor([text == "nowhere" for text in texts])
        return Embeddings(torch.tensor([PLACES[text] for text in texts]), count, count < 0, unknown)


def score(*rows):
    return SemanticReward(SPEC, Map()).score([RewardSample(prompt, response) for prompt, response in rows])


def test_it_is_the_cosine_with_the_prompt_and_no_reference_is_needed():
    chat = [{"role": "user", "content": "east"}]
    out = score(("east", "east"), ("east", "northeast"), ("east", "west"), (chat, "northeast"), ("east", ""))
    assert out.total_B.tolist() == pytest.approx([1.0, 0.6, 0.0, 0.6, 0.0])
    assert out.diagnostics["unscorable"].tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "row 2: field 'prompt' is empty, and term 'relevance' compares with it"),
        ("nowhere", "row 2: field 'prompt': 'nowhere' has no representation: encoder map knows none of its words"),
    ],
)
def test_a_prompt_that_cannot_be_compared_with_is_refused(prompt, message):
    with pytest.raises(DataError) as error:
        score(("east", "east"), (prompt, "east"))
    assert message in str(error.value)


def test_the_same_text_as_an_unknown_response_is_no_fault_of_a_prompt_that_nothing_reads():
    spec = parse_spec("encoder: {kind: hf, model: unused}\nterms: {semantic: {}}")
    out = SemanticReward(spec, Map()).score([RewardSample("nowhere", "nowhere", ("east",))])
    assert out.total_B.tolist() == [0.0]
