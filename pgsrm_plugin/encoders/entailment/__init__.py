"""NLI cross-encoders: does one text follow from another? What the term and the guard of that name ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.encoders.classifier import PairClassifierSpec

if TYPE_CHECKING:
    from pgsrm_plugin.types import Calibrated, Embedder, OwnModel, ReferencePairs


RELATED, UNRELATED = 0.7, 0.05
"""What calibration makes of the least of what says the same, and of the most of what does not (but for 5 % each)."""
_LEAST_RELATED = 20


class CrossEncoderSpec(PairClassifierSpec):
    """A Hugging Face sequence classifier trained on natural language inference, of 2 or 3 labels."""

    also_known_as: ClassVar = {"id2label": "write `labels`, a list in the order of the model's outputs"}
    called: ClassVar = "cross_encoder"
    labels: tuple[str, ...] | None = Field(
        None, description="in the order of the model's outputs, where its config does not name them"
    )

    def build(self) -> OwnModel:
        """See :meth:`~pgsrm_plugin.asking.models.OwnModelSection.build`."""
        from pgsrm_plugin.encoders.entailment.judge import HfCrossEncoder

        return HfCrossEncoder(self)


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
        known = dict(zip(asked, (one.values[0] for one in encoder.ask(self.cross_encoder, asked)), strict=True))
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
