"""Sentence-transformers models, run by this package's own engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from pgsrm_plugin.encoders.base import EncoderSection, Gives, model_beside_spec

if TYPE_CHECKING:
    from pgsrm_plugin.types import Encoder, Vocabulary


class HfEncoderSpec(EncoderSection):
    """A sentence-transformers model: a folder or a hub id. Pooling, prompts and normalisation are as its files say."""

    kind: Literal["hf"] = "hf"
    others_say: ClassVar = (
        "sentence_transformers",
        "sentence_transformer",
        "sbert",
        "transformers",
        "huggingface",
        "local",
    )
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
        "precision": "write `dtype`",
        "device_map": "write `device`",
        "num_threads": "write `threads`",
        "truncate_dim": "leave it out: vectors are whole; take a model of fewer dimensions",
        "pooling": "leave it out: pooling is as the model's files say",
        "pooling_mode": "leave it out: pooling is as the model's files say",
        "attn_implementation": "leave it out: this package's own engines run the model",
    }
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

    def vocabulary(self) -> Vocabulary | None:
        """See :meth:`~pgsrm_plugin.encoders.base.EncoderSection.vocabulary`; loads the tokenizer alone."""
        from pgsrm_plugin.encoders.hf.load import load_tokenizer
        from pgsrm_plugin.encoders.hf.pieces import pieces_of

        return pieces_of(load_tokenizer(self.model, self.revision))
