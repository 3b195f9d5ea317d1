"""NLI cross-encoders: does one text follow from another? What the term and the guard of that name ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from pgsrm_plugin.encoders.base import model_beside_spec
from pgsrm_plugin.section import Section

if TYPE_CHECKING:
    from pgsrm_plugin.types import CrossEncoder, Embedder


class CrossEncoderSpec(Section):
    """A Hugging Face sequence classifier trained on natural language inference, of 2 or 3 labels."""

    also_known_as: ClassVar = {
        "model_name": "write `model`",
        "model_name_or_path": "write `model`",
        "max_length": "write `max_tokens`",
        "max_seq_length": "write `max_tokens`",
        "batch_size": "write `batch_tokens`, the tokens of one pass",
        "torch_dtype": "write `dtype`",
        "id2label": "write `labels`, a list in the order of the model's outputs",
        "num_threads": "write `threads`",
        "trust_remote_code": "remote code never runs: take a model that transformers knows without it",
    }
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
    labels: tuple[str, ...] | None = Field(
        None, description="in the order of the model's outputs, where its config does not name them"
    )

    _resolve = field_validator("model", mode="before")(model_beside_spec)

    def build(self, device: str = "auto") -> CrossEncoder:
        """The model, frozen; ``device`` where the section names none.

        Raises:
            SpecError: the model cannot be found or loaded, is no NLI classifier, or its labels are unknown.
            ScorerError: the model fails its self-test.
        """
        from pgsrm_plugin.encoders.entailment.judge import HfCrossEncoder

        return HfCrossEncoder(self.model_copy(update={"device": self.device or device}))


class Judgement(CrossEncoderSpec):
    r"""What a response and a reference say of each other, by a cross-encoder.

    With :math:`p` the model's probability that the hypothesis follows from the premise, a direction is worth the
    logistic :math:`\sigma((\mathrm{logit}\,p - \mathrm{logit}\,c)/s)` with ``centre`` :math:`c` and ``scale``
    :math:`s`. ``forward`` asks whether the response says what the reference says, ``backward`` whether it says no more
    than that; ``both`` is the lesser of the two. A text follows from itself: 1, without asking.
    """

    also_known_as: ClassVar = {"threshold": "write `centre`, the probability that counts half"}
    direction: Literal["forward", "backward", "both"] = Field(
        "both", description="forward: the reference follows from the response; backward: the other way round"
    )
    centre: float = Field(
        0.5, gt=0, lt=1, description="the probability that counts half; of your model, by your own pairs"
    )
    scale: float = Field(1.0, gt=0, le=100, description="of the logistic, in log odds: small is a step")

    @property
    def cross_encoder(self) -> CrossEncoderSpec:
        """The model alone; parts that name the same one share it and what it said."""
        return CrossEncoderSpec(**{name: getattr(self, name) for name in CrossEncoderSpec.model_fields})

    def follows(self, pairs: Sequence[tuple[str, str]], encoder: Embedder) -> list[float]:
        """The worth of each (response, reference), in [0, 1]."""
        from pgsrm_plugin.functional import logistic

        odds = self.log_odds([pair for pair in pairs if pair[0] != pair[1]], encoder)
        return [1.0 if pair[0] == pair[1] else logistic(odds[pair], self.centre, self.scale) for pair in pairs]

    def log_odds(self, pairs: Sequence[tuple[str, str]], encoder: Embedder) -> dict[tuple[str, str], float]:
        """The log odds of each (response, reference), of the direction asked for or the lesser of both."""
        forward = list(pairs) if self.direction != "backward" else []
        backward = [(reference, response) for response, reference in pairs] if self.direction != "forward" else []
        asked = [*forward, *backward]
        known = dict(zip(asked, encoder.log_odds(self.cross_encoder, asked), strict=True))
        ways = {"forward": ((0, 1),), "backward": ((1, 0),), "both": ((0, 1), (1, 0))}[self.direction]
        return {pair: min(known[pair[a], pair[b]] for a, b in ways) for pair in pairs}
