"""One batch's questions to the policy: each distinct one once, in an order of their own, and the answers checked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgsrm_plugin.errors import DataError, ScorerError
from pgsrm_plugin.policy.base import Continuation, PolicyScorer, TokenStatistics, Weights, Written

if TYPE_CHECKING:
    from pgsrm_plugin.types import Row

OF_POLICY, OF_MODELS = "policy", "scorer"
"""What the statistics of the policy begin with, and those of models that a spec names."""


class AskedPolicy:
    """Satisfies :class:`~pgsrm_plugin.policy.base.PolicyScorer` by a trainer's, or a model's, and counts.

    Args:
        read: a row's response by the tokens of a model; None: rows have the policy's own.

    Attributes:
        stats: ``policy/continuations``, ``policy/tokens`` (of targets) and ``policy/seconds``; of a model
            ``scorer/...``.
    """

    def __init__(self, policy: PolicyScorer, read: Callable[[Row], Written] | None = None) -> None:
        self._policy, self._read = policy, read
        self.end, self.context = policy.end, policy.context
        self._called = OF_POLICY if read is None else OF_MODELS
        self._who = "policy" if read is None else "scorer model"
        self.stats = {f"{self._called}/{name}": 0.0 for name in ("continuations", "tokens", "seconds")}

    def written(self, row: Row) -> Written:
        """See :meth:`pgsrm_plugin.policy.base.Reader.written`."""
        if self._read is not None:
            return self._read(row)
        assert row.written is not None  # the reward refuses rows without tokens
        return row.written

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
                    f"the {self._who} is asked about {len(one.target)} tokens (of a reference, or of what a term asks "
                    f"about) after {len(one.prompt)} of a prompt and {len(one.between)} of a response, and its context "
                    f"is of {self.context}; shorten the first, or let the policy write less"
                )
            if not one.prompt or not one.target:
                raise DataError(f"there is nothing to ask the {self._who} about: a prompt or a reference has no tokens")
        distinct = sorted(set(asked))
        started = time.perf_counter()
        found = self._policy.look(weights, distinct) if distinct else []
        self.stats[f"{self._called}/seconds"] += time.perf_counter() - started
        self.stats[f"{self._called}/continuations"] += len(distinct)
        self.stats[f"{self._called}/tokens"] += sum(len(one.target) for one in distinct)
        if len(found) != len(distinct):
            raise ScorerError(f"the {self._who} answered {len(found)} of {len(distinct)} questions")
        for one, answer in zip(distinct, found, strict=True):
            if {len(answer.logprobs), len(answer.entropies)} != {len(one.target)}:
                raise ScorerError(f"the {self._who} answered for another number of tokens than it was asked about")
            if not all(math.isfinite(number) for number in (*answer.logprobs, *answer.entropies)):
                raise ScorerError(
                    f"the {self._who}'s log-probabilities are not finite: its weights are not, or overflow"
                )
        known = dict(zip(distinct, found, strict=True))
        return [known[one] for one in asked]


@dataclass(frozen=True)
class BoundReader:
    """Satisfies :class:`~pgsrm_plugin.policy.base.Reader`: who is asked, with certain weights."""

    asked: AskedPolicy
    weights: Weights = "policy"

    @property
    def end(self) -> int:
        """See :class:`pgsrm_plugin.policy.base.TokenCodec`."""
        return self.asked.end

    def encode(self, text: str) -> Sequence[int]:
        """See :class:`pgsrm_plugin.policy.base.TokenCodec`."""
        return self.asked.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """See :class:`pgsrm_plugin.policy.base.TokenCodec`."""
        return self.asked.decode(tokens)

    def written(self, row: Row) -> Written:
        """See :meth:`pgsrm_plugin.policy.base.Reader.written`."""
        return self.asked.written(row)

    def look(self, asked: Sequence[Continuation]) -> list[TokenStatistics]:
        """See :meth:`pgsrm_plugin.policy.base.Reader.look`."""
        return self.asked.look(self.weights, asked)
