"""What is asked of a parent, under which settings, and what came back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from pgsrm_plugin.errors import SpecError, StoreError
from pgsrm_plugin.types import Prompt

Status: TypeAlias = Literal["ok", "truncated", "unextracted", "empty", "refused", "failed"]
"""How a call ended.

``ok``: a whole answer with a reference. ``truncated``: it ran into ``max_tokens``. ``unextracted``: the extraction rule
found nothing in it. ``empty``: blank, or nothing but thinking. ``refused``: the model or a content filter declined.
``failed``: no answer, or one that was broken off.
"""
STATUSES: tuple[Status, ...] = get_args(Status)
FAILURES: frozenset[str] = frozenset(STATUSES) - {"ok"}


@dataclass(frozen=True)
class Sampling:
    """How the parent samples.

    Attributes:
        temperature: 0 is greedy; None leaves it to the endpoint (some refuse the field).
        top_p: in (0, 1].
        max_tokens: the longest answer, in tokens of the parent.
        seed: sample k of a prompt is drawn with ``seed + k``; None: no seed.
        stop: texts that end an answer.
        extra: further settings by the engine's own names: fields of the request (``reasoning_effort``), arguments of
            ``generate`` (``top_k``) or of vLLM's ``SamplingParams``.
    """

    temperature: float | None = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int | None = 0
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        temperature = None if self.temperature is None else float(self.temperature)
        # 0 and 0.0 would be two keys.
        object.__setattr__(self, "temperature", temperature)
        object.__setattr__(self, "top_p", float(self.top_p))
        object.__setattr__(self, "stop", tuple(self.stop))
        if temperature is not None and not (math.isfinite(temperature) and temperature >= 0):
            raise SpecError(f"temperature {self.temperature} is not a number of at least 0")
        if not 0 < self.top_p <= 1:
            raise SpecError(f"top_p {self.top_p} is not in (0, 1]")
        if self.max_tokens < 1:
            raise SpecError(f"max_tokens {self.max_tokens} is not at least 1")

    @property
    def greedy(self) -> bool:
        """Whether every sample of a prompt is the same by intention."""
        return self.temperature == 0.0


@dataclass(frozen=True)
class ParentConfig:
    """The parent and everything about it that shapes an answer.

    Attributes:
        engine: ``"hf"``, ``"vllm"`` or ``"openai"``; provenance only, not part of a key.
        model: a folder, a hub id or the endpoint's name for it.
        revision: commit or tag on the hub; of a folder or an endpoint, a label of your own that tells versions apart.
        sampling: see :class:`Sampling`.
        system: system prompt; it takes the place of a prompt's own.
        extract: the rule that finds the reference in the answer, e.g. ``"json:OUTPUT"``; None: all of it.
    """

    engine: str
    model: str
    revision: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    system: str | None = None
    extract: str | None = None


@dataclass(frozen=True)
class Request:
    """One sample of one prompt.

    Attributes:
        prompt: text or chat messages; a text and one user message of that text are the same question.
        sample: 0 to K - 1.
        item: the caller's name for the prompt (data set row, task item); provenance and split only, not in the key.
    """

    prompt: Prompt
    sample: int = 0
    item: str = ""

    def call(self, config: ParentConfig) -> str:
        """SHA-256 (hex) of what is asked: prompt, model, revision, sampling, system prompt and sample."""
        return _digest(
            {
                "prompt": as_messages(self.prompt),
                "model": config.model,
                "revision": config.revision,
                "sampling": dataclasses.asdict(config.sampling),
                "system": config.system,
                "sample": self.sample,
            }
        )

    def key(self, config: ParentConfig) -> str:
        """SHA-256 (hex) of the call and the extraction: the answer's address in the store."""
        return key_of(self.call(config), config.extract)

    def messages(self, config: ParentConfig) -> list[dict[str, str]]:
        """The conversation that is sent."""
        messages = as_messages(self.prompt)
        if config.system is None:
            return messages
        rest = messages[1:] if messages and messages[0].get("role") == "system" else messages
        return [{"role": "system", "content": config.system}, *rest]

    def seed(self, config: ParentConfig) -> int | None:
        """The seed of this sample."""
        return None if config.sampling.seed is None else config.sampling.seed + self.sample


@dataclass(frozen=True)
class Answer:
    """What came back, with its provenance; one record of the store.

    Attributes:
        key: see :meth:`Request.key`.
        call: see :meth:`Request.call`; answers that differ only in extraction share it.
        item, sample, prompt: see :class:`Request`.
        status: see :data:`Status`.
        text: the raw answer; ``""`` where there is none.
        reference: the extracted text; None, never empty, unless the status is ``ok``.
        error: what went wrong, for people; None where nothing did.
        finish_reason: in the engine's words (``stop``, ``length``, ``content_filter``).
        prompt_tokens, completion_tokens: as the engine counted them; None where it does not.
        attempts: how often the engine was asked for it; 0 where an earlier answer was extracted anew.
        model, engine, revision: the parent.
        served_model: what the endpoint calls the model that answered (often a dated version).
        settings: ``sampling``, ``system``, ``extract`` and what the engine tells of itself (``base_url``, ``dtype``).
        created: UTC, ISO 8601 with microseconds.
        permanent: of a failure: the same request would end the same.
        first_token: log-probabilities of the likeliest first tokens, where they were asked for.
    """

    key: str
    call: str
    item: str
    sample: int
    prompt: Prompt
    status: Status
    text: str
    reference: str | None
    error: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    attempts: int
    model: str
    engine: str
    revision: str | None
    served_model: str | None
    settings: Mapping[str, Any]
    created: str
    permanent: bool = False
    first_token: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise StoreError(f"an answer cannot have the status {self.status!r}")
        if (self.status == "ok") != bool(self.reference):
            raise StoreError(f"an answer of status {self.status!r} cannot have the reference {self.reference!r}")

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def config(self) -> ParentConfig:
        """The settings under which it was asked, so that it can be asked again."""
        sampling = Sampling(**self.settings["sampling"])
        return ParentConfig(
            self.engine, self.model, self.revision, sampling, self.settings["system"], self.settings["extract"]
        )

    @property
    def request(self) -> Request:
        return Request(self.prompt, self.sample, self.item)

    def to_json(self) -> bytes:
        fields = {name: value for name, value in vars(self).items() if name != "first_token" or value is not None}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")

    @classmethod
    def from_json(cls, content: bytes) -> Answer:
        """Fields that a later version added are left out, those that an earlier one lacked have their defaults.

        Raises:
            StoreError: it is not an answer.
        """
        try:
            fields = json.loads(content.decode("utf-8", "surrogatepass"))
            return cls(**{name: fields[name] for name in _FIELDS if name in fields or name not in _DEFAULTED})
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"not an answer ({type(error).__name__}: {error})") from None


_FIELDS = tuple(field.name for field in dataclasses.fields(Answer))
_DEFAULTED = frozenset(field.name for field in dataclasses.fields(Answer) if field.default is not dataclasses.MISSING)


def as_messages(prompt: Prompt) -> list[dict[str, str]]:
    """Chat messages; a text becomes one user message."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return [dict(message) for message in prompt]


def key_of(call: str, extract: str | None) -> str:
    """The key of an answer to ``call`` whose reference was found by ``extract``."""
    return _digest({"call": call, "extract": extract})


def settings_of(config: ParentConfig) -> dict[str, Any]:
    """What an answer's ``settings`` hold of the config, as JSON gives it back."""
    return {
        "sampling": dataclasses.asdict(config.sampling) | {"stop": list(config.sampling.stop)},
        "system": config.system,
        "extract": config.extract,
    }


def plain_prompt(prompt: Prompt) -> str | Sequence[Mapping[str, str]]:
    """The prompt as JSON holds it."""
    return prompt if isinstance(prompt, str) else [dict(message) for message in prompt]


def _digest(value: Mapping[str, Any]) -> str:
    try:
        canonical = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SpecError(f"the settings or the prompt of a request are not plain JSON values: {error}") from None
    return hashlib.sha256(canonical.encode()).hexdigest()
