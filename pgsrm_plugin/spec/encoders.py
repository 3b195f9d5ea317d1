"""The ``encoder`` section: what turns texts into vectors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FilePath, ValidationInfo, field_validator

from pgsrm_plugin.spec.base import Section, beside_spec


class HfEncoderSpec(Section):
    """A sentence-transformers model: a folder or a hub id. Pooling, prompts and normalisation are as its files say."""

    kind: Literal["hf"] = "hf"
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

    @field_validator("model", mode="before")
    @classmethod
    def _resolve(cls, model: object, info: ValidationInfo) -> object:
        return beside_spec(model, info) if isinstance(model, str) and model.startswith(("./", "../", "~")) else model


class StaticEncoderSpec(Section):
    """Static word vectors (word2vec text, GloVe, Numberbatch; plain or .gz): mean of the words' vectors."""

    kind: Literal["static"] = "static"
    path: FilePath = Field(description="the vectors; a relative path starts at the spec's folder")
    lowercase: bool = True
    oov: Literal["skip", "unscorable", "raise"] = Field(
        "skip",
        description="a word without a vector: 'skip' leaves it out (a text with no known word is unscorable), "
        "'unscorable' makes the text unscorable, 'raise' stops",
    )
    limit: int | None = Field(
        None, ge=1, description="read only the first so many words (files are sorted by frequency)"
    )

    _resolve = field_validator("path", mode="before")(beside_spec)


class HttpEncoderSpec(Section):
    """An OpenAI-compatible ``POST {base_url}/embeddings`` endpoint."""

    kind: Literal["http"] = "http"
    base_url: str = Field(pattern=r"^https?://[^\s]+$", description="e.g. http://127.0.0.1:8000/v1")
    model: str
    api_key_env: str | None = Field(None, description="name of the environment variable that holds the bearer token")
    dimensions: int | None = Field(None, ge=1, description="asked of the endpoint, and checked in its answer")
    batch_texts: int = Field(64, ge=1, le=2048, description="texts in one request")
    timeout_s: float = Field(30.0, gt=0, description="seconds for one request")
    deadline_s: float = Field(120.0, gt=0, description="seconds for one encode() call, all retries included")
    retries: int = Field(4, ge=0, le=20, description="on 408, 409, 429, 5xx and broken connections")
    max_response_mb: float = Field(64.0, gt=0, description="a longer answer is refused")


class VllmEncoderSpec(Section):
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

    @field_validator("model", mode="before")
    @classmethod
    def _resolve(cls, model: object, info: ValidationInfo) -> object:
        return beside_spec(model, info) if isinstance(model, str) and model.startswith(("./", "../", "~")) else model


class HashingEncoderSpec(Section):
    """A deterministic toy (hashed character n-grams), for documentation and tests. It knows no meaning."""

    kind: Literal["hashing"] = "hashing"
    dimensions: int = Field(256, ge=8, le=65536)
    ngram: int = Field(3, ge=1, le=8)


EncoderSpec = Annotated[
    HfEncoderSpec | StaticEncoderSpec | HttpEncoderSpec | VllmEncoderSpec | HashingEncoderSpec,
    Field(discriminator="kind"),
]
