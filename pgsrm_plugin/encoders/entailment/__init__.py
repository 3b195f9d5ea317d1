"""NLI cross-encoders: does one text follow from another? What the term and the guard of that name ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from pgsrm_plugin.encoders.base import model_beside_spec
from pgsrm_plugin.section import Section

if TYPE_CHECKING:
    from pgsrm_plugin.types import Calibrated, CrossEncoder, Embedder, ReferencePairs


RELATED, UNRELATED = 0.7, 0.05
"""What calibration makes of the least of what says the same, and of the most of what does not (but for 5 % each)."""
_LEAST_RELATED = 20


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

    def calibrate(self, pairs: ReferencePairs, encoder: Embedder) -> Calibrated:
        r"""The centre and the scale at which the same in other words is worth much and another matter little.

        With :math:`q` the log odds that 95 % of the references of one prompt reach and :math:`n` those that 95 % of the
        references of different prompts stay below, :math:`q` is worth ``RELATED`` and :math:`n` at most ``UNRELATED``:
        :math:`s = \min(1, (q - n) / (\mathrm{logit}\,r - \mathrm{logit}\,u))`,
        :math:`\mathrm{logit}\,c = q - s\,\mathrm{logit}\,r`.

        Raises:
            DataError: there are fewer than 20 related pairs, or the model does not tell them from others.
        """
        import math

        import numpy as np

        from pgsrm_plugin.errors import DataError
        from pgsrm_plugin.types import Calibrated

        if len(pairs.related) < _LEAST_RELATED:
            raise DataError(
                "a centre is measured on references that say the same in other words: there must be "
                f"{_LEAST_RELATED} pairs of one prompt, not {len(pairs.related)}; let a parent write several of each "
                "prompt (pgsrm parent generate --samples 2)"
            )
        odds = self.log_odds([*pairs.related, *pairs.unrelated], encoder)
        alike = float(np.quantile([odds[pair] for pair in pairs.related], 0.05))
        apart = float(np.quantile([odds[pair] for pair in pairs.unrelated], 0.95))
        said = (
            f"log odds: 95 % of {len(pairs.related)} pairs of one prompt reach {alike:.2f}, 95 % of "
            f"{len(pairs.unrelated)} mismatched pairs stay below {apart:.2f}"
        )
        if alike <= apart:
            raise DataError(f"{said}: this model does not tell one from the other here; take another")
        high, low = _logit(RELATED), _logit(UNRELATED)
        scale = min(1.0, (alike - apart) / (high - low))
        centre = 1.0 / (1.0 + math.exp(scale * high - alike))
        return Calibrated({"centre": float(f"{centre:.3g}"), "scale": float(f"{scale:.3g}")}, said)


def _logit(share: float) -> float:
    import math

    return math.log(share / (1.0 - share))
