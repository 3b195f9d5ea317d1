"""The section of a causal language model that a term asks in place of the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator
from typing_extensions import Self

from pgsrm_plugin.asking.models import OwnModelSection
from pgsrm_plugin.encoders.base import model_beside_spec
from pgsrm_plugin.policy.base import Weights

if TYPE_CHECKING:
    from pgsrm_plugin.policy.base import TextScorer


class ScorerModel(OwnModelSection):
    """A frozen causal language model, in float32: it reads prompt and response as texts, by tokens of its own."""

    also_known_as: ClassVar = {
        "name": "write `model`",
        "model_name": "write `model`",
        "model_name_or_path": "write `model`",
        "batch_size": "write `batch_tokens`, the tokens of one pass",
        "dtype": "leave it out: log-probabilities are those of float32 weights",
        "torch_dtype": "leave it out: log-probabilities are those of float32 weights",
        "trust_remote_code": "remote code never runs: take a model that transformers knows without it",
    }
    model: str = Field(description="folder (starting with '/', './' or '~', or existing), hub id, or a .gguf file")
    revision: str | None = Field(None, description="commit of the hub repository; pin it, rewards depend on it")
    device: str | None = Field(None, description="'auto', 'cpu', 'cuda', 'cuda:1' ...; default: the spec's encoder's")
    chat: bool = Field(
        False, description="whether prompts that are texts are a user's turn of its chat template; chats always are"
    )
    temperature: float = Field(
        1.0, gt=0, description="that log-probabilities are taken at; a trainer's is its sampling's"
    )
    batch_tokens: int = Field(8192, ge=64, description="most tokens in one forward pass, padding included")

    _resolve = field_validator("model", mode="before")(model_beside_spec)

    def placed(self, device: str) -> Self:
        """See :meth:`~pgsrm_plugin.asking.models.OwnModelSection.placed`."""
        return self.model_copy(update={"device": self.device or device})

    def build(self) -> TextScorer:
        """See :meth:`~pgsrm_plugin.asking.models.OwnModelSection.build`."""
        from pgsrm_plugin.encoders.causal.causal_scorer import CausalScorer

        return CausalScorer(self)


def _weights_or_section(given: Any) -> Any:
    if isinstance(given, str) and given not in get_args(Weights):
        raise ValueError(f"{given!r} is none of {', '.join(get_args(Weights))}; a model is named by {{model: {given}}}")
    return given


def _which(given: Any) -> str:
    return "weights" if isinstance(given, str) else "section"


Scorer: TypeAlias = Annotated[
    Annotated[Weights, Tag("weights")] | Annotated[ScorerModel, Tag("section")],
    Discriminator(_which),
    BeforeValidator(_weights_or_section),
]
"""Who is asked for log-probabilities: the policy, by certain weights, or a model that is named."""


def named(scorer: Weights | ScorerModel) -> dict[str, Any]:
    """Who is asked, as fields of a term's :class:`~pgsrm_plugin.terms.base.Needs`."""
    return {"scorer": scorer} if isinstance(scorer, ScorerModel) else {"policy": scorer}
