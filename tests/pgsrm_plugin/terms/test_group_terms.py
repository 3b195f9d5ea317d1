"""novelty and consensus: what a response is among the others, by hand."""

from __future__ import annotations

import itertools

import pytest
import torch

from pgsrm_plugin import DataError, Embeddings, RewardSample, SemanticReward, SpecError, parse_spec
from pgsrm_plugin.functional import mean_distance

PLACES = {"east": [1.0, 0.0], "north": [0.0, 1.0], "west": [-1.0, 0.0], "between": [3.0, 4.0], "near": [4.0, 3.0]}
ENCODER = "encoder: {kind: hf, model: unused}"


class Map:
    """Embeds words as places."""

    identity = "map"

    def encode(self, texts):
        count = torch.ones(len(texts), dtype=torch.int64)
        return Embeddings(torch.tensor([PLACES[text] for text in texts]), count, count < 0)


def reward(terms: str, beside: str = "") -> SemanticReward:
    return SemanticReward(parse_spec(f"{{{ENCODER}, terms: {{{terms}}}{beside}}}"), Map())


def group(*texts: str, name: str = "g", prompt: str = "where", **columns) -> list[RewardSample]:
    return [RewardSample(prompt, text, ("east",), group=name, columns=columns) for text in texts]


NOVELTY = "semantic: {}, novelty: {neighbours: 2}"


def test_the_seeds_value():
    assert mean_distance([0.9, 0.5, 0.1], 2) == pytest.approx(0.3)


def test_novelty_by_hand():
    out = reward(NOVELTY).score(group("east", "north", "between", "west"))
    # cosines of east: north 0, between 0.6, west -1; of between: east 0.6, north 0.8, west -0.6
    assert out.terms["novelty"].tolist() == pytest.approx([(0.4 + 1) / 2, (0.2 + 1) / 2, (0.2 + 0.4) / 2, 1.0])
    assert out.total_B.tolist() == out.terms["semantic"].tolist()
    assert out.weighted["novelty"].tolist() == [0.0] * 4


def test_a_group_that_collapsed_has_no_novelty_and_groups_are_apart():
    batch = [*group("east", "east", "east"), *group("east", "north", name="h"), *group("west", name="i")]
    out = reward(NOVELTY).score(batch)
    assert out.terms["novelty"].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("terms", [NOVELTY, "consensus: {}", "consensus: {by: equality}"])
def test_values_follow_a_permutation_bit_by_bit(terms):
    texts = ("east", "north", "between", "near", "between")
    batch = [*group(*texts), *group(*texts[::-1], name="h")]
    forward = reward(terms).score(batch)
    for order in itertools.islice(itertools.permutations(range(len(batch))), 0, 3_000_000, 500_000):
        permuted = reward(terms).score([batch[i] for i in order])
        for name, value_B in forward.terms.items():
            assert torch.equal(value_B[list(order)], permuted.terms[name])


def test_novelty_is_never_paid_and_needs_its_group():
    assert parse_spec(f"{{{ENCODER}, terms: {{{NOVELTY}}}, weights: {{semantic: 2}}}}").weight("novelty") == 0
    with pytest.raises(SpecError, match=r"weights\.novelty: 'novelty' is logged and never paid"):
        reward(NOVELTY, ", weights: {semantic: 1, novelty: 0.1}")
    with pytest.raises(DataError, match="field 'group' is missing, and term 'novelty' needs it"):
        reward(NOVELTY).score([RewardSample("where", "east", ("east",))])
    alone = reward(NOVELTY).for_validation().score([RewardSample("where", "east", ("east",))])
    assert alone.terms["novelty"].tolist() == [0.0]


def test_an_unscorable_response_is_nobodys_neighbour():
    out = reward(NOVELTY).score(group("east", "", "near"))
    assert out.terms["novelty"].tolist() == pytest.approx([0.2, 0.0, 0.2])


# --- consensus --------------------------------------------------------------------------------------------------------


def test_consensus_is_likeness_to_the_medoid_of_the_others_by_hand():
    out = reward("consensus: {}").score(group("east", "near", "between", "north"))
    # the others of east: near (0.96 + 0.6), between (0.96 + 0.8), north (0.6 + 0.8): between, cosine 0.6
    # of near: east (0.6 + 0), between (0.6 + 0.8), north: between, 0.96; of between: near (0.8 + 0.6): 0.96
    # of north: near (0.8 + 0.96), east (0.8 + 0.6), between (0.6 + 0.96): near, 0.6
    assert out.total_B.tolist() == pytest.approx([0.6, 0.96, 0.96, 0.6])


def test_consensus_by_equality_and_its_ties():
    out = reward("consensus: {by: equality}").score(group("East", "east ", "north", "west"))
    # the others of the first: east, north, west, one each: east comes first; of north: east twice
    assert out.total_B.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_a_question_and_its_paraphrase_label_each_other():
    one = group("east", "east", "north", prompt="where?", source="q1")
    other = group("north", "north", "east", name="h", prompt="in which direction?", source="q1")
    third = group("west", "west", name="i", prompt="why?", source="q2")
    out = reward("consensus: {by: equality, paraphrases: source}").score([*one, *other, *third])
    assert out.total_B.tolist() == [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert out.diagnostics["declined/consensus"].tolist() == [0, 0, 0, 0, 0, 0, 1, 1]
    near = reward("consensus: {paraphrases: source}").score([*one, *other])
    assert near.total_B.tolist() == [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]


def test_consensus_needs_no_reference_but_others():
    samples = [RewardSample("where", "east", group=1), RewardSample("where", "near", group=1)]
    assert reward("consensus: {}").score(samples).total_B.tolist() == pytest.approx([0.8, 0.8])
    out = reward("consensus: {}", ", unscorable: mask").score(samples[:1])
    assert out.scored_B.tolist() == [False]
    with pytest.raises(DataError, match="field 'source' is missing, and term 'consensus' finds paraphrases by it"):
        reward("consensus: {paraphrases: source}").score(samples)
