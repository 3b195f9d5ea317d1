"""The sections of Hugging Face sequence classifiers that read pairs of texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator
from typing_extensions import Self

from pgsrm_plugin.asking.models import OwnModelSection
from pgsrm_plugin.encoders.base import model_beside_spec

if TYPE_CHECKING:
    from pgsrm_plugin.types import OwnModel


class PairClassifierSpec(OwnModelSection):
    """A Hugging Face sequence classifier: where it is and how it runs."""

    also_known_as: ClassVar = {
        "model_name": "write `model`",
        "model_name_or_path": "write `model`",
        "max_length": "write `max_tokens`",
        "max_seq_length": "write `max_tokens`",
        "batch_size": "write `batch_tokens`, the tokens of one pass",
        "torch_dtype": "write `dtype`",
        "num_threads": "write `threads`",
        "trust_remote_code": "remote code never runs: take a model that transformers knows without it",
    }
    asked: ClassVar = "pairs"
    model: str = Field(description="folder (starting with '/', './' or '~', or existing) or hub id")
    revision: str | None = Field(None, description="commit of the hub repository; pin it, rewards depend on it")
    device: str | None = Field(None, description="'auto', 'cpu', 'cuda', 'cuda:1' ...; default: the spec's encoder's")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="dtype of the weights")
    max_tokens: int | None = Field(
        None, ge=8, description="truncation length of a pair, the longer text first; default: the model's own"
    )
    batch_tokens: int = Field(8192, ge=64, description="most tokens in one forward pass, padding included")
    threads: int | None = Field(
        None, ge=1, description="worker threads on a CPU, one core each; default: torch.get_num_threads()"
    )

    _resolve = field_validator("model", mode="before")(model_beside_spec)

    def placed(self, device: str) -> Self:
        """See :meth:`~pgsrm_plugin.asking.models.OwnModelSection.placed`."""
        return self.model_copy(update={"device": self.device or device})


class RewardModelSpec(PairClassifierSpec):
    """A Hugging Face sequence classifier whose outputs say how good an answer to a prompt is."""

    called: ClassVar = "preferences"
    layout: Literal["auto", "pair", "chat"] = Field(
        "auto",
        description="how it reads prompt and answer: as two texts, or as two turns by its tokenizer's chat template; "
        "auto: the latter where there is a template",
    )

    def build(self) -> OwnModel:
        """See :meth:`~pgsrm_plugin.asking.models.OwnModelSection.build`."""
        from pgsrm_plugin.encoders.hf.preference import HfPreferenceModel

        return HfPreferenceModel(self)
