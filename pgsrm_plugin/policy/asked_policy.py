"""One batch's questions to the policy: each distinct one once, in an order of their own, and the answers checked."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from pgsrm_plugin.errors import DataError, ScorerError
from pgsrm_plugin.policy.base import Continuation, PolicyScorer, TokenStatistics, Weights


class AskedPolicy:
    """Satisfies :class:`~pgsrm_plugin.policy.base.PolicyScorer` by a trainer's, and counts.

    Attributes:
        stats: ``policy/continuations``, ``policy/tokens`` (of targets) and ``policy/seconds``.
    """

    def __init__(self, policy: PolicyScorer) -> None:
        self._policy = policy
        self.end, self.context = policy.end, policy.context
        self.stats = dict.fromkeys(("policy/continuations", "policy/tokens", "policy/seconds"), 0.0)

    def encode(self, text: str) -> Sequence[int]:
        """See :meth:`pgsrm_plugin.policy.base.PolicyScorer.encode`."""
        return self._policy.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """See :meth:`pgsrm_plugin.policy.base.PolicyScorer.decode`."""
        return self._policy.decode(tokens)

    def look(self, weights: Weights, asked: Sequence[Continuation]) -> list[TokenStatistics]:
        """See :meth:`pgsrm_plugin.policy.base.PolicyScorer.look`.

        Raises:
            DataError: a continuation is longer than the policy's context, or has no token.
            ScorerError: the trainer's answer is none.
        """
        for one in asked:
            if sum(map(len, one)) > self.context:
                raise DataError(
                    f"{len(one.target)} tokens of a reference after {len(one.prompt)} of its prompt and "
                    f"{len(one.between)} of reasoning are more than the policy's context of {self.context}; shorten "
                    "references, or let the policy write less"
                )
            if not one.prompt or not one.target:
                raise DataError("there is nothing to ask the policy about: a prompt or a reference has no tokens")
        distinct = sorted(set(asked))
        started = time.perf_counter()
        found = self._policy.look(weights, distinct) if distinct else []
        self.stats["policy/seconds"] += time.perf_counter() - started
        self.stats["policy/continuations"] += len(distinct)
        self.stats["policy/tokens"] += sum(len(one.target) for one in distinct)
        if len(found) != len(distinct):
            raise ScorerError(f"the policy answered {len(found)} of {len(distinct)} questions")
        for one, answer in zip(distinct, found, strict=True):
            if {len(answer.logprobs), len(answer.entropies)} != {len(one.target)}:
                raise ScorerError("the policy answered for another number of tokens than it was asked about")
            if not all(math.isfinite(number) for number in (*answer.logprobs, *answer.entropies)):
                raise ScorerError("the policy's log-probabilities are not finite: its weights are not, or overflow")
        known = dict(zip(distinct, found, strict=True))
        return [known[one] for one in asked]
