"""The cache in memory: what it keeps between calls, and what it refuses to mix."""

import pytest
import torch

from pgsrm_plugin import ScorerError
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
