"""The cache in memory: what it keeps between calls, what it computes together, and what it refuses to mix."""

import pytest
import torch

from pgsrm_plugin import RewardSample, ScorerError, SemanticReward, parse_spec
from pgsrm_plugin.encoders.cache import DiskCacheSpec
from pgsrm_plugin.encoders.cache.memory import CachedEncoder, Sources
from pgsrm_plugin.types import Embeddings


class Lengths:
    """An encoder whose vectors have as many numbers as it is told."""

    identity = "lengths"

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions

    def encode(self, texts):
        return Embeddings(torch.ones(len(texts), self.dimensions), torch.ones(len(texts)), torch.zeros(len(texts)))


@pytest.mark.parametrize("on_disk", [False, True])
def test_vectors_of_two_lengths_are_refused_and_not_kept(tmp_path, on_disk):
    encoder = Lengths(2)
    cached = CachedEncoder(encoder, 1, DiskCacheSpec(folder=tmp_path) if on_disk else None)
    assert cached.embed(["red"])[1] == Sources(computed=1, memory=0, disk=0)
    encoder.dimensions = 3
    with pytest.raises(ScorerError, match=r"^encoder lengths changed the length of its vectors between two calls$"):
        cached.embed(["red", "blue"])
    encoder.dimensions = 2
    found, sources = cached.embed(["red", "blue"])
    assert sources == Sources(computed=1, memory=1, disk=0)
    assert {text: embedded.vector_D.tolist() for text, embedded in found.items()} == {"red": [1, 1], "blue": [1, 1]}


class Spelt(Lengths):
    """One state a letter; it writes down what it is asked for, and how."""

    identity = "spelt"

    def __init__(self) -> None:
        super().__init__(2)
        self.asked: list[tuple[str, list[str]]] = []

    def encode(self, texts):
        self.asked.append(("vectors", list(texts)))
        return super().encode(texts)

    def token_states(self, texts):
        self.asked.append(("states", list(texts)))
        return [torch.tensor([[1.0, ord(letter)] for letter in text]) for text in texts]


class OnePass(Spelt):
    """The same, with both in one pass."""

    def encode_with_states(self, texts):
        self.asked.append(("both", list(texts)))
        return Lengths.encode(self, texts), Spelt().token_states(texts)


def matched(response: str, reference: str) -> RewardSample:
    return RewardSample("which?", response, (reference,))


TOKENS = "encoder: {kind: hf, model: x}\nterms: {semantic: {}, bertscore: {}}\nweights: {semantic: 0.5, bertscore: 0.5}"


def test_a_batch_asks_for_vectors_and_states_at_once_and_a_reference_only_once():
    encoder = OnePass()
    reward = SemanticReward(parse_spec(TOKENS), encoder)
    first = reward.score([matched("red", "blue"), matched("pink", "blue")])
    assert encoder.asked == [("both", ["red", "blue", "pink"])]
    again = reward.score([matched("green", "blue"), matched("red", "blue")])
    # The response's vector is kept, its states are not: they are computed alone.
    assert encoder.asked[1:] == [("both", ["green"]), ("states", ["red"])]
    assert again.total_B[1] == first.total_B[0]


def test_what_cannot_be_had_in_one_pass_is_had_in_two_with_the_same_rewards():
    samples = [matched("red", "blue"), matched("pink", "blue")]
    one, two = OnePass(), Spelt()
    rewards = [SemanticReward(parse_spec(TOKENS), encoder).score(samples).total_B.tolist() for encoder in (one, two)]
    assert rewards[0] == rewards[1]
    assert [how for how, _ in two.asked] == ["vectors", "states"]


def test_a_spec_without_token_states_asks_for_vectors_alone():
    encoder = OnePass()
    SemanticReward(parse_spec("encoder: {kind: hf, model: x}\nterms: {semantic: {}}"), encoder).score(
        [matched("red", "blue")]
    )
    assert [how for how, _ in encoder.asked] == ["vectors"]


def test_states_count_for_the_limit_and_go_with_the_embedding_used_longest_ago():
    encoder = OnePass()
    entry = 8 + 300 + 4 * 100  # a vector of two numbers, what Python takes, the text
    cached = CachedEncoder(encoder, (2 * entry + 100 * 8 + 4) / 2**20)
    texts = [letter * 100 for letter in "abc"]
    looked = cached.look_up(texts[:2], states=True)
    cached.keep_states({texts[0]: looked.states[texts[0]]})  # 800 bytes more
    encoder.asked.clear()
    assert set(cached.token_states(texts[:1])) == {texts[0]}
    assert cached.look_up(texts[:2], states=True).sources.memory == 2
    assert encoder.asked == []
    cached.look_up([texts[2]], states=True)
    assert cached.look_up([texts[1]], states=False).sources.memory == 1
    assert cached.look_up([texts[0]], states=False).sources.computed == 1


def test_wrong_states_are_refused_and_nothing_is_kept():
    encoder = OnePass()
    encoder.encode_with_states = lambda texts: (Lengths.encode(encoder, texts), [torch.full((1, 2), torch.nan)])
    cached = CachedEncoder(encoder, 1)
    with pytest.raises(ScorerError, match=r"^encoder spelt returned wrong or non-finite token states$"):
        cached.look_up(["red"], states=True)
    assert cached.embed(["red"])[1].computed == 1
