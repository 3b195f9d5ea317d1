"""OpenAI-compatible embedding endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.encoders.base import EncoderSection, Gives

if TYPE_CHECKING:
    from pgsrm_plugin.types import Encoder


class HttpEncoderSpec(EncoderSection):
    """An OpenAI-compatible ``POST {base_url}/embeddings`` endpoint."""

    kind: Literal["http"] = "http"
    others_say: ClassVar = ("openai", "openai_compatible", "api", "endpoint", "remote", "tei", "litellm")
    also_known_as: ClassVar = {
        "url": "write `base_url`, without /embeddings",
        "api_base": "write `base_url`",
        "endpoint": "write `base_url`",
        "api_key": "a key stands in no spec: name the environment variable that holds it, as `api_key_env`",
        "model_name": "write `model`",
        "model_name_or_path": "write `model`",
        "model_id": "write `model`",
        "prompt_name": "write the text itself as `prompt`, e.g. prompt: 'query: '",
        "prompts": "write the text itself as `prompt`",
        "max_length": "write `max_chars`",
        "max_tokens": "write `max_chars`, or `truncate_prompt_tokens` for vLLM",
        "max_seq_length": "write `max_chars`, or `truncate_prompt_tokens` for vLLM",
        "batch_size": "write `batch_texts`",
        "timeout": "write `timeout_s`, seconds",
        "max_retries": "write `retries`",
    }
    gives: ClassVar = Gives(tokens=False)
    called: ClassVar = "an endpoint"
    base_url: str = Field(pattern=r"^https?://[^\s]+$", repr=False, description="e.g. http://127.0.0.1:8000/v1")
    model: str
    api_key_env: str | None = Field(None, description="name of the environment variable that holds the bearer token")
    dimensions: int | None = Field(None, ge=1, description="asked of the endpoint, and checked in its answer")
    prompt: str = Field("", description="text put before every input, for models that want one ('query: ')")
    max_chars: int | None = Field(None, ge=1, description="longer texts are cut here before they are sent, and counted")
    truncate_prompt_tokens: int | None = Field(
        None, ge=-1, description="asks vLLM to cut longer texts to this many tokens; -1: to what the model reads"
    )
    extra_body: dict[str, bool | int | float | str] = Field(
        {}, description="further keys of each request, e.g. {truncate: true} for TEI and Ollama"
    )
    batch_texts: int = Field(64, ge=1, le=2048, description="texts in one request")
    timeout_s: float = Field(30.0, gt=0, description="seconds for one request")
    deadline_s: float = Field(120.0, gt=0, description="seconds for one encode() call, all retries included")
    retries: int = Field(4, ge=0, le=20, description="on 408, 409, 429, 5xx and broken connections")
    max_response_mb: float = Field(64.0, gt=0, description="a longer answer is refused")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        taken = {"model", "input", "dimensions", "encoding_format", "truncate_prompt_tokens"} & set(self.extra_body)
        if taken:
            raise ValueError(f"extra_body: {min(taken)!r} has a key of its own, or is set by the encoder")
        return self

    def build(self) -> Encoder:
        """See :meth:`~pgsrm_plugin.encoders.base.EncoderSection.build`."""
        from pgsrm_plugin.encoders.http.client import HttpEncoder

        return HttpEncoder(self)
