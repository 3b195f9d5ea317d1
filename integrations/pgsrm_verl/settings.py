"""The ``pgsrm:`` section of verl's config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from pgsrm_plugin.data.completions import Turns
from pgsrm_plugin.errors import SpecError, did_you_mean
from pgsrm_plugin.scorer.batching import MicroBatchSettings
from pgsrm_plugin.section import Section

HOW_TO_START = "add `+pgsrm.spec=reward.yaml` (a file, or the name of a shipped reward such as pgsrm)"


class EncoderSettings(Section):
    """Where the encoder runs (streaming)."""

    where: Literal["worker", "actors"] = Field("worker", description="in each reward worker, or in shared Ray actors")
    replicas: int = Field(1, ge=1, description="actors")
    gpus_per_replica: float = Field(0.0, ge=0, le=1, description="share of a training GPU for each; 0: on the CPU")
    deadline_s: float = Field(120.0, gt=0, description="for one call, restarts of a killed actor included")


class ParentSettings(Section):
    """A parent that is asked during training for the references of prompts that have none (streaming)."""

    store: str = Field(min_length=1, description="the store's folder; what it has is not asked again")
    engine: Literal["openai", "hf"] = Field("openai", description="a server, or transformers in the reward worker")
    model: str = Field(min_length=1, description="the endpoint's name for it, a folder or a hub id")
    revision: str | None = None
    budget: int = Field(ge=0, description="the most calls of a run; 0: the store alone")
    samples: int = Field(1, ge=1, description="references of a prompt")
    temperature: float | None = Field(0.0, ge=0, description="null: not sent")
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(256, ge=1)
    seed: int | None = Field(0, description="sample k has seed + k; null: not sent")
    system: str | None = Field(None, description="a file with the system prompt")
    extract: str | None = Field(None, description="json:KEY, tag:NAME or regex:PATTERN")
    base_url: str | None = Field(None, description="openai: the endpoint, e.g. http://127.0.0.1:8000/v1")
    api_key_env: str | None = Field(None, description="openai: the environment variable that holds the key")
    concurrency: int = Field(16, ge=1, description="openai: calls at the same time")
    deadline_s: float = Field(100.0, gt=0, description="openai: seconds for one answer, retries included")


class Settings(Section):
    """All keys of ``pgsrm:``.

    Attributes:
        placement, offload, memory_budget_gb: of the colocated encoder (``trainer.v1.trainer_mode=pgsrm_sync``).
    """

    spec: str = Field(min_length=1, description="the reward: a YAML file, or the name of a shipped one")
    val_spec: str | None = Field(None, description="another reward for validation")
    references: str | None = Field(None, description="a .jsonl or .parquet file of prompts with their references")
    reference_field: str | None = Field(None, description="where rows keep references, e.g. extra_info.answer")
    ground_truth_field: str | None = Field(None, description="where rows keep the answer, e.g. extra_info.answer")
    turns: Turns = Field("own", description="what is scored where tools answer: own words, the last turn, or all")
    micro_batch: MicroBatchSettings = MicroBatchSettings()
    encoder: EncoderSettings = EncoderSettings()
    parent: ParentSettings | None = Field(None, description="asked for missing references while training (streaming)")
    gates: tuple[str, ...] = Field((), description="for `pgsrm rehearse`: what the reward's card must keep to")
    checked: str | None = Field(None, description="set by the plugin itself: what it saw in the data files")
    placement: Literal["shard", "replicate", "cpu"] = "shard"
    offload: bool = Field(False, description="keep the encoder's weights off the GPU between reward phases")
    memory_budget_gb: float | None = Field(None, gt=0, description="GPU memory the encoder may take on each rank")


def read_settings(config: Mapping[str, Any]) -> Settings:
    """The settings in a whole config of verl's (an OmegaConf ``DictConfig`` or plain dicts).

    Raises:
        SpecError: the section is missing or wrong; the message names the key and the nearest valid one.
    """
    section = config.get("pgsrm")
    if section is None:
        raise SpecError(f"the config has no section `pgsrm`: {HOW_TO_START}")
    if not isinstance(section, dict) and hasattr(section, "_metadata"):
        from omegaconf import OmegaConf

        section = OmegaConf.to_container(section, resolve=True)
    if not isinstance(section, Mapping):
        raise SpecError(f"pgsrm: must be a section, not {section!r}: {HOW_TO_START}")
    try:
        return Settings.model_validate(dict(section))
    except ValidationError as error:
        raise SpecError("\n".join(_explain(detail) for detail in error.errors())) from None


def _explain(detail: ErrorDetails) -> str:
    loc = [str(part) for part in detail["loc"]]
    where = ".".join(["pgsrm", *loc])
    if detail["type"] == "extra_forbidden":
        keys = _model_at(loc[:-1]).model_fields
        return f"{where}: unknown key{did_you_mean(loc[-1], keys)} (known: {', '.join(keys)})"
    if detail["type"] == "missing":
        return f"{where}: required key is missing" + (f"; {HOW_TO_START}" if loc == ["spec"] else "")
    message = detail["msg"].removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}, not {detail['input']!r}"


def _model_at(loc: list[str]) -> type[BaseModel]:
    model: type[BaseModel] = Settings
    for part in loc:
        annotation = model.model_fields[part].annotation
        named = [one for one in get_args(annotation) if one is not type(None)]
        annotation = named[0] if named else annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        model = annotation
    return model
