"""Sentence-transformers models on vLLM's pooling runner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from pgsrm_plugin.encoders.base import EncoderSection, model_beside_spec

if TYPE_CHECKING:
    from pgsrm_plugin.types import Encoder


class VllmEncoderSpec(EncoderSection):
    """A sentence-transformers model run by vLLM's pooling runner; tokenised, and truncated, as `hf` does it."""

    kind: Literal["vllm"] = "vllm"
    model: str = Field(description="folder (starting with '/', './' or '~', or existing) or hub id")
    revision: str | None = Field(None, description="commit of the hub repository; pin it, rewards depend on it")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="dtype of the weights")
    prompt: str | None = Field(None, description="text put before every input; default: the model's own default prompt")
    max_tokens: int | None = Field(None, ge=8, description="truncation length; default: the model's own")
    batch_tokens: int = Field(8192, ge=64, description="tokens that vLLM schedules at once")
    tensor_parallel: int = Field(1, ge=1, description="GPUs that hold the model together")
    gpu_memory: float = Field(0.3, gt=0, lt=1, description="fraction of each GPU's memory that vLLM may take")
    eager: bool = Field(False, description="no compilation and no CUDA graphs: slower, but ready sooner")
    self_test: bool = Field(True, description="at load, compare with sentence-transformers' own encode()")

    _resolve = field_validator("model", mode="before")(model_beside_spec)

    def build(self) -> Encoder:
        """See :meth:`~pgsrm_plugin.encoders.base.EncoderSection.build`."""
        from pgsrm_plugin.encoders.vllm.pooling import VllmEncoder

        return VllmEncoder(self)
