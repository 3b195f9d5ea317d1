"""Sentence-transformers models on vLLM's pooling runner."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from pgsrm_plugin.encoders.base import EncoderSection, model_beside_spec

if TYPE_CHECKING:
    from pgsrm_plugin.types import Encoder


class VllmEncoderSpec(EncoderSection):
    """A sentence-transformers model run by vLLM's pooling runner; tokenised, and truncated, as `hf` does it."""

    kind: Literal["vllm"] = "vllm"
    also_known_as: ClassVar = {
        "model_name": "write `model`",
        "model_name_or_path": "write `model`",
        "model_id": "write `model`",
        "prompt_name": "write the text itself as `prompt`, e.g. prompt: 'query: '",
        "default_prompt_name": "write the text itself as `prompt`, e.g. prompt: 'query: '",
        "prompts": "write the text itself as `prompt`",
        "instruction": "write `prompt`",
        "max_seq_length": "write `max_tokens`",
        "max_length": "write `max_tokens`",
        "batch_size": "write `batch_tokens`, the tokens of one pass",
        "torch_dtype": "write `dtype`",
        "max_model_len": "write `max_tokens`",
        "max_num_batched_tokens": "write `batch_tokens`",
        "tensor_parallel_size": "write `tensor_parallel`",
        "gpu_memory_utilization": "write `gpu_memory`",
        "enforce_eager": "write `eager`",
    }
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
