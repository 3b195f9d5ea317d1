"""Phase entropy: how much less sure the policy is while it thinks than while it answers (PEAR)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.policy.base import Continuation, Reader
from pgsrm_plugin.policy.cut import is_thinking, whole_tokens
from pgsrm_plugin.terms.base import Needs, Term

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class PhaseEntropy(Term):
    r"""How much less sure the policy is of its words before the answer than within it: a fault, which makes it brief.

    :math:`\min(\text{cap}, \max(0, H_{think} - a H_{answer}))`, with :math:`H` the mean entropy (nats) of the
    distributions from which the tokens before the answer and those from it on were sampled (PEAR, arXiv 2510.08026,
    which takes it from a reward and has no cap). Without words before the answer it is 0.
    """

    kind: Literal["phase_entropy"] = "phase_entropy"
    others_say: ClassVar = ("pear", "thinking_entropy", "entropy_penalty")
    cap: float = Field(1.0, gt=0, le=20, description="nats: the greatest value")
    answer_share: float = Field(1.0, ge=0, description="a: how much of the answer's entropy is taken off")

    is_fault: ClassVar = True

    @property
    def bounds(self) -> tuple[float, float]:
        """0 to the cap."""
        return 0.0, self.cap

    @property
    def declines(self) -> bool:
        """Where no answer begins in the response as the policy wrote it."""
        return True

    def needs(self) -> Needs:
        """The policy as it is trained."""
        return Needs(policy="policy", answer_place=True)

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float | None]:
        """Values within the bounds; None where no answer begins."""
        policy = encoder.reader("policy")
        thought = [self._thinking(row, policy) for row in rows]
        asked = [
            Continuation(policy.written(row).tokens.prompt, (), policy.written(row).tokens.response)
            for row, tokens in zip(rows, thought, strict=True)
            if tokens is not None
        ]
        found = iter([one.entropies for one in policy.look(asked)])
        return [None if tokens is None else self._value(next(found), tokens) for tokens in thought]

    def _value(self, entropies: Sequence[float], thinking: int) -> float:
        phases = entropies[:thinking], entropies[thinking:]
        think, answer = (math.fsum(phase) / len(phase) if phase else 0.0 for phase in phases)
        return min(self.cap, max(0.0, think - self.answer_share * answer))

    def _thinking(self, row: Row, policy: Reader) -> int | None:
        """The tokens before the answer; one across its beginning belongs to it."""
        own = policy.written(row)
        if own.answer is None or is_thinking(own, policy):
            return None
        return whole_tokens(own.tokens.response, own.text, own.answer, policy.decode)
