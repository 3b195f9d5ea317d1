"""How each engine runs: what does not shape an answer and is not part of its key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pgsrm_plugin.section import Section

_SECRET = re.compile(r"key|token(?!s|i)|secret|password|auth", re.IGNORECASE)
_HARMLESS = ("api_key_env",)


def without_secrets(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without those that may be a secret by their name (``hf_token``), for what is written down."""
    return {name: value for name, value in arguments.items() if name in _HARMLESS or not _SECRET.search(name)}


class HfSettings(Section):
    """``transformers``' ``generate`` in this process."""

    device: str = Field("auto", description="'auto' (a GPU when there is one), 'cpu', 'cuda', 'cuda:1' ...")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="'auto': as the files say")
    batch_size: int = Field(16, ge=1, description="prompts in one call of generate")


class VllmSettings(Section):
    """vLLM in this process, offline."""

    batch_size: int = Field(256, ge=1, description="prompts handed over at a time; an answer is durable with its batch")
    engine_args: dict[str, Any] = Field(
        default_factory=dict, description="arguments of vllm.LLM: tensor_parallel_size, max_model_len, dtype ..."
    )


class OpenAISettings(Section):
    """Any endpoint with OpenAI's ``POST {base_url}/chat/completions``."""

    base_url: str = Field(pattern=r"^https?://[^\s]+$", repr=False, description="e.g. http://127.0.0.1:8000/v1")
    api_key_env: str | None = Field(None, description="name of the environment variable that holds the bearer token")
    concurrency: int = Field(16, ge=1, le=4096, description="most calls at the same time; fewer when told to slow down")
    timeout_s: float = Field(120.0, gt=0, description="seconds for one request")
    deadline_s: float = Field(600.0, gt=0, description="seconds for one answer, all retries and waits included")
    outage_s: float = Field(120.0, gt=0, description="seconds without any contact after which the run stops")
    retries: int = Field(
        5, ge=0, le=50, description="on 408, 409, 5xx, timeouts, cut connections and senseless answers"
    )
    max_response_mb: float = Field(8.0, gt=0, description="a longer answer is a failure")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="the field's name in the request; reasoning models of OpenAI want the second"
    )
