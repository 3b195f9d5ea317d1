"""The self-test of an ``hf`` encoder: its vectors against those of sentence-transformers' own ``encode``."""

from __future__ import annotations

import torch
from sentence_transformers import SentenceTransformer

from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.errors import ScorerError
from pgsrm_plugin.types import Encoder

TOLERANCE = {"float32": 1e-5, "bfloat16": 3e-2, "float16": 5e-3}
"""Largest difference of a coordinate, relative to the vector's length: batches round differently from single texts."""

_LONGEST_WORDS = 1200
_SENTENCE = "The quick brown fox jumps over the lazy dog, twice; then it rests. "


def self_test(encoder: Encoder, model: SentenceTransformer, spec: HfEncoderSpec) -> None:
    """Embeds a handful of texts as one batch, and one by one with ``model.encode``, and compares.

    Raises:
        ScorerError: a vector is not finite, or differs by more than the dtype's :data:`TOLERANCE`.
    """
    texts = _texts(model)
    vectors_ND = encoder.encode(texts).vectors_ND
    with torch.autocast(model.device.type, enabled=False):
        expected_ND = torch.stack(
            [model.encode(text, prompt=spec.prompt, convert_to_tensor=True, show_progress_bar=False) for text in texts]
        )
    expected_ND = expected_ND.float().cpu()
    if not bool(torch.isfinite(vectors_ND).all()):
        raise ScorerError(f"encoder {encoder.identity} returns vectors that are not finite; its weights are broken")
    length_N1 = expected_ND.norm(dim=1, keepdim=True).clamp_min(1e-12)
    worst = float(((vectors_ND - expected_ND) / length_N1).abs().max())
    if not worst <= TOLERANCE[spec.dtype]:
        raise ScorerError(
            f"encoder {encoder.identity} failed its self-test: its vectors differ by {worst:.2e} from those of "
            f"sentence-transformers' encode() (tolerance {TOLERANCE[spec.dtype]:.0e} for {spec.dtype})"
        )


def _texts(model: SentenceTransformer) -> list[str]:
    """Short, punctuation only, other scripts, and one beyond the truncation where that is affordable."""
    limit = int(min(model.max_seq_length or _LONGEST_WORDS, _LONGEST_WORDS))
    long = _SENTENCE * (limit // 12 + 2)
    return ["red", ".", "Grüße aus 東京, привет и مرحبا!", "f(x) = x^2 + 1;\n\treturn {'a': [1, 2]}", _SENTENCE, long]
