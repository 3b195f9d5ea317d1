"""Sentence-transformers models, run by this package's own engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from pgsrm_plugin.encoders.base import EncoderSection, Gives, model_beside_spec

if TYPE_CHECKING:
    from pgsrm_plugin.types import Encoder


class HfEncoderSpec(EncoderSection):
    """A sentence-transformers model: a folder or a hub id. Pooling, prompts and normalisation are as its files say."""

    kind: Literal["hf"] = "hf"
    gives: ClassVar = Gives(token_states=True, sharded=True)
    model: str = Field(description="folder (starting with '/', './' or '~', or existing) or hub id")
    revision: str | None = Field(None, description="commit of the hub repository; pin it, rewards depend on it")
    device: str = Field("auto", description="'auto' (a GPU when there is one), 'cpu', 'cuda', 'cuda:1' ...")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="dtype of the weights")
    prompt: str | None = Field(None, description="text put before every input; default: the model's own default prompt")
    max_tokens: int | None = Field(None, ge=8, description="truncation length; default: the model's own")
    batch_tokens: int = Field(
        8192, ge=64, description="most tokens in one forward pass, padding included; on a CPU passes are smaller anyway"
    )
    threads: int | None = Field(
        None, ge=1, description="worker threads on a CPU, one core each; default: torch.get_num_threads()"
    )
    self_test: bool = Field(True, description="at load, compare with sentence-transformers' own encode()")

    _resolve = field_validator("model", mode="before")(model_beside_spec)

    def build(self) -> Encoder:
        """See :meth:`~pgsrm_plugin.encoders.base.EncoderSection.build`."""
        from pgsrm_plugin.encoders.hf.encoder import HfEncoder

        return HfEncoder(self)
