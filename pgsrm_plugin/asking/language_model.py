"""A language model that terms ask, on any of the parents' engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from pgsrm_plugin.asking.models import OwnModelSection
from pgsrm_plugin.section import Section, beside_spec

if TYPE_CHECKING:
    from pgsrm_plugin.asking.store.answers import ParentConfig
    from pgsrm_plugin.types import OwnModel

CANDIDATES = 20
"""First tokens whose log-probabilities are asked for; endpoints give no more."""


class LanguageModelSettings(Section):
    """Which language model is asked, and how."""

    also_known_as: ClassVar = {
        "url": "write `base_url`, without /chat/completions",
        "api_base": "write `base_url`",
        "endpoint": "write `base_url`",
        "api_key": "a key stands in no spec: name the environment variable that holds it, as `api_key_env`",
        "model_name": "write `model`",
        "timeout": "write `timeout_s`, seconds",
        "max_retries": "write `retries`",
        "max_workers": "write `concurrency`",
        "max_new_tokens": "write `max_tokens`",
        "cache": "write `store`, a folder",
        "cache_dir": "write `store`, a folder",
    }
    engine: Literal["openai", "vllm", "hf"] = Field(
        "openai", description="an OpenAI-compatible endpoint; or in this process: vLLM (offline), transformers"
    )
    model: str = Field(description="the endpoint's name for it; for vllm and hf a folder or a hub id")
    revision: str | None = Field(None, description="commit on the hub; of an endpoint, a label of your own")
    base_url: str | None = Field(
        None, pattern=r"^https?://[^\s]+$", repr=False, description="of the endpoint, e.g. http://127.0.0.1:8000/v1"
    )
    api_key_env: str | None = Field(None, description="name of the environment variable that holds the bearer token")
    temperature: float | None = Field(0.0, ge=0, description="0 is greedy; null: not sent")
    max_tokens: int = Field(512, ge=1, description="the longest answer, in the model's tokens, thinking included")
    seed: int | None = Field(0, description="sent with each request; null: not sent")
    sampling: dict[str, Any] = Field(
        {}, description="further settings by the engine's names, e.g. {reasoning_effort: low}"
    )
    system: str | None = Field(None, description="a system prompt")
    concurrency: int = Field(16, ge=1, le=4096, description="most calls at a time; of vllm and hf, those in a batch")
    timeout_s: float = Field(60.0, gt=0, description="seconds for one request")
    deadline_s: float = Field(180.0, gt=0, description="seconds for one answer, all retries and waits included")
    outage_s: float = Field(60.0, gt=0, description="seconds without any contact after which scoring fails")
    retries: int = Field(5, ge=0, le=50, description="on 408, 409, 5xx, timeouts and cut connections")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="the field's name in the request; reasoning models of OpenAI want the second"
    )
    engine_args: dict[str, Any] = Field({}, description="of vllm and hf: their own arguments, e.g. {dtype: bfloat16}")
    budget: int | None = Field(None, ge=1, description="most calls of one process; scoring fails at the next one")
    store: Path | None = Field(
        None, description="folder in which answers are kept between runs and shared by processes; made if missing"
    )

    _resolve = field_validator("store", mode="before")(beside_spec)

    @model_validator(mode="after")
    def _engine_agrees(self) -> Self:
        remote = self.engine == "openai"
        if remote and self.base_url is None:
            raise ValueError("base_url is missing, e.g. base_url: http://127.0.0.1:8000/v1")
        if remote and self.engine_args:
            raise ValueError("engine_args: they are for engine: vllm and hf")
        for name in ("base_url", "api_key_env"):
            if not remote and getattr(self, name) is not None:
                raise ValueError(f"{name}: it is for engine: openai, not {self.engine}")
        return self


class LanguageModelSpec(OwnModelSection, LanguageModelSettings):
    """A language model that answers in words, or that says how likely each first word of its answer is."""

    called: ClassVar = "language_model"
    first_token: bool = Field(False, description="ask for the log-probabilities of the first token alone")

    def config(self) -> ParentConfig:
        """What shapes an answer."""
        from pgsrm_plugin.asking.store.answers import ParentConfig, Sampling

        extra = dict(self.sampling)
        if self.first_token:
            remote = {"logprobs": True, "top_logprobs": CANDIDATES}
            extra |= remote if self.engine == "openai" else {"logprobs": CANDIDATES}
        tokens = 1 if self.first_token else self.max_tokens
        sampling = Sampling(self.temperature, 1.0, tokens, self.seed, (), extra)
        return ParentConfig(self.engine, self.model, self.revision, sampling, self.system)

    def engine_settings(self) -> dict[str, Any]:
        """How the engine runs; see :mod:`pgsrm_plugin.asking.engines.settings`."""
        if self.engine == "openai":
            shared = ("base_url", "api_key_env", "concurrency", "timeout_s", "deadline_s", "outage_s", "retries")
            return {name: getattr(self, name) for name in (*shared, "max_tokens_field")}
        own = {"engine_args": self.engine_args} if self.engine == "vllm" else self.engine_args
        return {"batch_size": self.concurrency, **own}

    def build(self) -> OwnModel:
        """See :meth:`~pgsrm_plugin.asking.models.OwnModelSection.build`."""
        from pgsrm_plugin.asking.asked_model import AskedModel

        return AskedModel(self)
