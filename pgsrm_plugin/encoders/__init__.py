"""Encoders: one kind a module or folder, which says everything about itself; what computes is imported when built."""

from __future__ import annotations

from pgsrm_plugin.encoders.base import EncoderSection, Gives
from pgsrm_plugin.encoders.causal import CausalEncoderSpec
from pgsrm_plugin.encoders.hashing import HashingEncoderSpec
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.http import HttpEncoderSpec
from pgsrm_plugin.encoders.static import StaticEncoderSpec
from pgsrm_plugin.encoders.vllm import VllmEncoderSpec
from pgsrm_plugin.kinds import Kinds

__all__ = ["ENCODERS", "KINDS", "EncoderSection", "Gives"]

ENCODERS: tuple[type[EncoderSection], ...] = (
    HfEncoderSpec,
    StaticEncoderSpec,
    HttpEncoderSpec,
    VllmEncoderSpec,
    CausalEncoderSpec,
    HashingEncoderSpec,
)
"""The kinds that come with the package; other packages add theirs under the entry-point group ``pgsrm.encoders``."""

KINDS = Kinds("pgsrm.encoders", EncoderSection, ENCODERS)  # type: ignore[type-abstract]
"""All kinds there are, by name."""
