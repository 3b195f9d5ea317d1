"""Follow-up: how likely the response makes a contented reader's next words, against a discontented one's (FLR)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.encoders.causal.scorer_model import Scorer, named
from pgsrm_plugin.policy.base import Continuation, Reader
from pgsrm_plugin.policy.likelihoods import avg_log_prob
from pgsrm_plugin.terms.base import Needs, Term

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row

Sentences = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1, max_length=64)]


class Followup(Term):
    r"""How likely what a contented reader says next is, against what a discontented one does; needs no reference.

    :math:`\sigma((\bar{l}^+ - \bar{l}^-) / s)`, with :math:`\bar{l}` the mean over the sentences of the mean
    log-probability of a sentence's tokens after prompt and response (FLR, arXiv 2409.13948; its code takes raw logits
    at one place instead). For dialogues; it says nothing of truth.
    """

    kind: Literal["followup"] = "followup"
    others_say: ClassVar = ("flr", "follow_up", "followup_likelihood")
    positive: Sentences = Field(
        (
            "That makes sense, thank you.",
            "That is exactly what I wanted to know.",
            "You explained that well.",
            "That is interesting, tell me more.",
        ),
        description="what a contented reader says",
    )
    negative: Sentences = Field(
        (
            "That makes no sense.",
            "That is not what I asked.",
            "You did not understand me.",
            "That is boring, let us talk about something else.",
        ),
        description="what a discontented reader says",
    )
    turn: str = Field(
        "\n\n", description="between the response and the reader's words, e.g. '<|im_end|>\\n<|im_start|>user\\n'"
    )
    scorer: Scorer = Field(
        "frozen",
        description="frozen: the trainer's reference; policy: as it is trained; ema; or a section that names a causal "
        "language model",
    )
    decay: float = Field(0.9, ge=0, lt=1, description="ema: how much of the running mean a step keeps")
    scale: float = Field(1.0, gt=0, description="of the logistic, in nats a token")

    def needs(self) -> Needs:
        """The policy or the model that stands for it."""
        return Needs(decay=self.decay if self.scorer == "ema" else None, **named(self.scorer))

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in (0, 1)."""
        from pgsrm_plugin.functional import logistic

        policy = encoder.reader(self.scorer)
        sentences = [tuple(policy.encode(sentence)) for sentence in (*self.positive, *self.negative)]
        before = [self._before(row, policy) for row in rows]
        asked = [Continuation(*said, sentence) for said in before for sentence in sentences]
        found = iter([avg_log_prob(one.logprobs) for one in policy.look(asked)])
        values = []
        for _ in rows:
            positive, negative = ([next(found) for _ in few] for few in (self.positive, self.negative))
            gap = math.fsum(positive) / len(positive) - math.fsum(negative) / len(negative)
            values.append(logistic(gap, 0.5, self.scale))
        return values

    def _before(self, row: Row, policy: Reader) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The prompt, and what stands between it and the reader's words."""
        tokens = policy.written(row).tokens
        prompt, response = tokens.prompt, tokens.response
        said = response[:-1] if response[-1:] == (policy.end,) else response
        return prompt, (*said, *policy.encode(self.turn))
