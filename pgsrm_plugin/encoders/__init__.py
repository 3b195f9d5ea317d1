"""Encoders: one module a kind, and the literal dict that names them. Heavy imports happen when one is built."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from pgsrm_plugin.types import Encoder

if TYPE_CHECKING:
    from pgsrm_plugin.spec.encoders import EncoderSpec

ENCODERS = {
    "hf": ("pgsrm_plugin.encoders.hf.encoder", "HfEncoder"),
    "static": ("pgsrm_plugin.encoders.static.mean", "StaticEncoder"),
    "http": ("pgsrm_plugin.encoders.http.client", "HttpEncoder"),
    "vllm": ("pgsrm_plugin.encoders.vllm.pooling", "VllmEncoder"),
    "hashing": ("pgsrm_plugin.encoders.hashing", "HashingEncoder"),
}


def build_encoder(spec: EncoderSpec) -> Encoder:
    """The encoder that a spec's ``encoder`` section describes.

    Raises:
        SpecError: the model or file cannot be found or is not what it claims to be.
        ScorerError: the model loads but fails its self-test.
    """
    module, name = ENCODERS[spec.kind]
    return cast("Encoder", getattr(importlib.import_module(module), name)(spec))
