"""Encoders that count tokens satisfy the protocols of what they count for, by their class alone."""

from __future__ import annotations

import inspect

import pytest
import torch

from pgsrm_plugin.types import Embeddings, Encoder, TokenEncoder
from pgsrm_verl.colocated.counting import counting


class Plain:
    identity = "plain"

    def encode(self, texts):
        ones_N = torch.ones(len(texts), dtype=torch.bool)
        return Embeddings(torch.ones(len(texts), 2), torch.tensor([len(text) or -1 for text in texts]), ones_N)


class WithStates(Plain):
    def token_states(self, texts):
        return [torch.full((len(text), 2), 3.0) for text in texts]


@pytest.mark.parametrize(("encoder", "states"), [(Plain(), False), (WithStates(), True)])
def test_the_protocols_are_those_of_the_encoder(encoder, states):
    counted = counting(encoder)
    assert isinstance(counted, Encoder)
    assert isinstance(counted, TokenEncoder) is states
    # Python 3.12 checks a protocol so, and sees nothing that __getattr__ would give.
    for name in ("identity", "encode", *(["token_states"] if states else [])):
        assert inspect.getattr_static(counted, name, None) is not None
    assert counted.identity == "plain"


def test_tokens_are_summed_and_unknown_counts_left_out():
    counted = counting(WithStates())
    counted.encode(["ab", ""])
    counted.encode(["abc"])
    assert counted.tokens == 5
    assert counted.token_states(["a"])[0].tolist() == [[3.0, 3.0]]
    assert counted.encode_with_states(["abcd"])[1][0].tolist() == [[3.0, 3.0]] * 4
    assert counted.tokens == 9
