"""Any causal language model as an encoder: the state of the last token of a template around the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from pgsrm_plugin.encoders.base import EncoderSection, Gives, model_beside_spec

if TYPE_CHECKING:
    from pgsrm_plugin.types import Encoder

PLACE = "{text}"
"""What stands in a template for the text."""


class CausalEncoderSpec(EncoderSection):
    """A causal language model, be it the policy's own base: the state behind a template, no training needed.

    After CSE-SFP (arXiv 2505.00389) and PromptEOL. The template's words make all texts alike: calibrate a floor.
    """

    kind: Literal["causal"] = "causal"
    others_say: ClassVar = ("cse_sfp", "prompteol", "llm", "decoder", "last_token")
    also_known_as: ClassVar = {
        "model_name": "write `model`",
        "model_name_or_path": "write `model`",
        "prompt": "write `template`, with {text} where the text goes",
        "instruction": "write `template`, with {text} where the text goes",
        "max_seq_length": "write `max_tokens`, of the text alone",
        "max_length": "write `max_tokens`, of the text alone",
        "batch_size": "write `batch_tokens`, the tokens of one pass",
        "torch_dtype": "write `dtype`",
        "num_threads": "write `threads`",
    }
    gives: ClassVar = Gives(tokens=True)
    called: ClassVar = "a causal language model"
    model: str = Field(description="folder (starting with '/', './' or '~', or existing) or hub id")
    revision: str | None = Field(None, description="commit of the hub repository; pin it, rewards depend on it")
    device: str = Field("auto", description="'auto' (a GPU when there is one), 'cpu', 'cuda', 'cuda:1' ...")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="dtype of the weights")
    template: str = Field(
        'This sentence : "{text}" means in one word:"',
        description="the text goes where {text} stands; what follows it should ask for its sense in a word",
    )
    pooling: Literal["last", "mean"] = Field(
        "last", description="last: the last token's state; mean: over all tokens, template included"
    )
    max_tokens: int = Field(512, ge=8, description="tokens of a text that are read, without the template's")
    batch_tokens: int = Field(8192, ge=64, description="most tokens in one forward pass, padding included")
    threads: int | None = Field(
        None, ge=1, description="worker threads on a CPU, one core each; default: torch.get_num_threads()"
    )

    _resolve = field_validator("model", mode="before")(model_beside_spec)

    @field_validator("template", mode="after")
    @classmethod
    def _one_place(cls, template: str) -> str:
        if template.count(PLACE) != 1:
            raise ValueError(f"{PLACE} must stand in it once, where the text goes")
        return template

    def build(self) -> Encoder:
        """See :meth:`~pgsrm_plugin.encoders.base.EncoderSection.build`."""
        from pgsrm_plugin.encoders.causal.last_state import CausalEncoder

        return CausalEncoder(self)
