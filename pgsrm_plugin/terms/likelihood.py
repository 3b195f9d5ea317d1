"""Likelihood: how probable the policy's reasoning makes the reference (VeriFree, JEPO, RLPR, NOVER)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.encoders.causal.scorer_model import Scorer, named
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.policy import likelihoods as of
from pgsrm_plugin.policy.base import Continuation, Reader, Written
from pgsrm_plugin.policy.cut import is_thinking, tokens_until, whole_tokens
from pgsrm_plugin.section import TagName
from pgsrm_plugin.terms.base import Needs, Term
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.batch import written

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row

_MANY_TOKENS = 30
"""References of more tokens leave nothing of a product of probabilities: at -1 nat a token, e^-30."""


class _Question(NamedTuple):
    """What the policy is asked about a response: each reference after its reasoning, and without it.

    Attributes:
        reasoning: its tokens.
    """

    asked: list[Continuation]
    bare: list[Continuation]
    reasoning: int


class _Value(NamedTuple):
    value: float
    reasoning: int


class Likelihood(Term):
    r"""How probable the reference is for the policy after its own reasoning; no verifier and no encoder is asked.

    The model's own answer is thrown away. :math:`l_j = \log \pi(a_j | p, z, \text{opening}, a_{<j})` are the
    log-probabilities of the reference's :math:`n` tokens after the prompt :math:`p`, the reasoning :math:`z` and the
    answer's opening tag, its closing tag or the end of text among them. ``avg_log_prob``: :math:`\frac{1}{n} \sum l_j`;
    ``log_prob``: :math:`\sum l_j` (best of these in arXiv 2602.03979; JEPO, arXiv 2503.19618); ``prob``:
    :math:`\exp \sum l_j` (VeriFree, arXiv 2505.21493); ``avg_prob``: :math:`\frac{1}{n} \sum \exp l_j` (RLPR, arXiv
    2506.18254); ``rank``: :math:`(V - r) / V` by the rank :math:`r` of the reasoning's perplexity in the group (NOVER,
    arXiv 2505.16022). Tokens are joined as they are and never encoded again.
    """

    kind: Literal["likelihood"] = "likelihood"
    others_say: ClassVar = ("verifree", "jepo", "rlpr", "nover", "log_likelihood", "reference_probability")
    also_known_as: ClassVar = {
        "mode": "write `measure`",
        "model": "write `scorer: {model: ...}`",
        "mixup": "write `decay`",
        "threshold": "write `lift: positive`",
    }
    measure: Literal["avg_log_prob", "log_prob", "prob", "avg_prob", "rank"] = "avg_log_prob"
    against: Literal["references", "ground_truth"] = Field(
        "references", description="what is put in the answer's place: the references, or the correct answers"
    )
    tag: TagName | None = Field(
        None, description="the tag of the answer that it is put in place of; default: text.answer_tag"
    )
    references: Literal["max", "logsumexp", "mean"] = Field(
        "max", description="of several references: the best; that any is written (prob, log_prob); the mean"
    )
    scorer: Scorer = Field(
        "policy",
        description="policy: as it is trained; frozen: the trainer's reference; ema: a running mean of it; or a "
        "section that names a causal language model, which is asked everywhere",
    )
    decay: float = Field(0.9, ge=0, lt=1, description="ema: how much of the running mean a step keeps")
    lift: bool | Literal["positive"] = Field(
        False, description="true: less the same without reasoning; positive: and not below 0"
    )
    without_reasoning: str | None = Field(
        None, description="lift: what stands between prompt and reference; default: the answer's opening tag, if any"
    )
    clip: float = Field(10.0, gt=0, le=100, description="nats: the mean of the log-probabilities is not below -clip")
    longest: int = Field(256, ge=1, description="log_prob: tokens of the longest reference; sets the bounds")
    closing: bool = Field(True, description="whether the closing tag, or the end of text, belongs to the reference")
    group: Literal["jepo"] | None = Field(
        None, description="jepo: what each response adds to the log of the group's mean probability (log_prob)"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.references == "logsumexp" and self.measure not in ("prob", "log_prob"):
            raise ValueError(
                f"references: logsumexp adds probabilities of whole references up, and measure: {self.measure} has "
                "none; use max or mean, or measure: log_prob"
            )
        if self.group is not None and self.measure != "log_prob":
            raise ValueError(f"group: {self.group} is about whole references; set measure: log_prob")
        if self.lift and (self.measure == "rank" or self.group is not None):
            what = "measure: rank" if self.group is None else f"group: {self.group}"
            raise ValueError(f"lift is the same for all responses to a prompt, so {what} undoes it; leave one out")
        if self.without_reasoning is not None and not self.lift:
            raise ValueError("without_reasoning belongs to lift")
        if "decay" in self.model_fields_set and self.scorer != "ema":
            raise ValueError("decay belongs to scorer: ema")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """By the measure; ``log_prob`` has the mean's times the tokens of the longest reference."""
        least = -self.clip * {"avg_log_prob": 1, "log_prob": self.longest}.get(self.measure, 0)
        if self.group is not None:
            return -math.log(2), -least
        top = 0.0 if least else 1.0
        if not self.lift:
            return least, top
        widest = top - least
        return (0.0 if self.lift == "positive" else -widest), widest

    @property
    def needs_groups(self) -> bool:
        """For ranks and group credit."""
        return self.measure == "rank" or self.group is not None

    @property
    def declines(self) -> bool:
        """Where no answer begins in the response as the policy wrote it."""
        return True

    def alone(self) -> Term:
        """The mean probability instead of ranks; the response's own log-probability instead of group credit."""
        if self.measure == "rank":
            return self.model_copy(update={"measure": "avg_prob"})
        return self.model_copy(update={"group": None})

    def needs(self) -> Needs:
        """References or correct answers, and the policy or the model that stands for it."""
        decay = self.decay if self.scorer == "ema" else None
        truths = self.against == "ground_truth"
        return Needs(
            references=not truths,
            ground_truth=truths,
            answer_place=self.tag is None,
            decay=decay,
            **named(self.scorer),
        )

    def advise(self, reference_tokens: Sequence[int]) -> str | None:
        """Warns of products of many probabilities.

        Raises:
            DataError: a reference has more tokens than the bounds are for.
        """
        most = max(reference_tokens, default=0) + self.closing
        if self.measure == "log_prob" and most > self.longest:
            end = " with its end" if self.closing else ""
            raise DataError(
                f"the longest reference has {most} tokens or more{end}, and the bounds are for {self.longest}; set "
                f"longest: {most} or more"
            )
        mean = sum(reference_tokens) / max(1, len(reference_tokens))
        if self.measure != "prob" or mean <= _MANY_TOKENS:
            return None
        return (
            f"measure: prob of references of {mean:.0f} tokens on average is 0 but for rounding, which teaches "
            "nothing; use measure: avg_log_prob or avg_prob"
        )

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float | None]:
        """Values within the bounds; None where no answer begins."""
        values = self._values(rows, encoder.reader(self.scorer))
        return [None if value is None else value.value for value in values]

    def score_groups(self, groups: Sequence[Sequence[Row]], encoder: Embedder) -> list[list[float | None]]:
        """The same by groups."""
        found = iter(self._values([row for group in groups for row in group], encoder.reader(self.scorer)))
        scored: list[list[float | None]] = []
        for group in groups:
            own = [next(found) for _ in group]
            there = [one for one in own if one is not None]
            if self.measure == "rank":
                values = iter(of.rank_rewards([of.reasoning_perplexity(-one.value, one.reasoning) for one in there]))
            else:
                values = iter(of.group_credits([one.value for one in there]) if there else [])
            scored.append([None if one is None else next(values) for one in own])
        return scored

    def _values(self, rows: Sequence[Row], policy: Reader) -> list[_Value | None]:
        questions = [self._question(row, policy) for row in rows]
        every = [one for question in questions if question is not None for one in question.asked + question.bare]
        looked = policy.look(every)
        logprobs = {one: found.logprobs for one, found in zip(every, looked, strict=True)}
        return [None if question is None else self._answered(question, logprobs) for question in questions]

    def _question(self, row: Row, policy: Reader) -> _Question | None:
        own = policy.written(row)
        if self.tag is not None:
            thinking = {"thinking_tags": own.thinking} if own.thinking else {"strip_thinking": False}
            tagged = TextSpec.model_validate({"answer_tag": self.tag, "unclosed": own.unclosed, **thinking})
            own = written(own.tokens, own.text, tagged)
        if own.answer is None or own.reasoning is None or is_thinking(own, policy):
            return None
        prompt, response = own.tokens.prompt, own.tokens.response
        known = row.ground_truths if self.against == "ground_truth" else [one.uncut for one in row.references]
        targets = [self._target(one, own, policy) for one in known]
        before = tokens_until(response, own.text, own.answer, policy)
        opening = own.opening if self.without_reasoning is None else self.without_reasoning
        bare = tuple(policy.encode(opening) if opening else ())
        return _Question(
            [Continuation(prompt, before, target) for target in targets],
            [Continuation(prompt, bare, target) for target in targets] if self.lift else [],
            whole_tokens(response, own.text, own.reasoning, policy.decode),
        )

    def _answered(self, question: _Question, logprobs: Mapping[Continuation, tuple[float, ...]]) -> _Value:
        value = self._of_references([logprobs[one] for one in question.asked])
        if self.lift:
            value -= self._of_references([logprobs[one] for one in question.bare])
        return _Value(max(0.0, value) if self.lift == "positive" else value, question.reasoning)

    def _target(self, reference: str, own: Written, policy: Reader) -> tuple[int, ...]:
        end = tuple(policy.encode(own.closing)) if own.closing else (policy.end,)
        target = (*policy.encode(reference), *(end if self.closing else ()))
        if self.measure == "log_prob" and len(target) > self.longest:
            raise DataError(
                f"the reference {reference[:40]!r} has {len(target)} tokens, and the term's bounds are for "
                f"{self.longest}; set longest: {len(target)} or more"
            )
        return target

    def _of_references(self, each: Sequence[tuple[float, ...]]) -> float:
        if self.references == "logsumexp":
            whole = min(0.0, of.log_sum_exp([math.fsum(one) for one in each]))
            return max(whole, -self.clip * max(map(len, each))) if self.measure == "log_prob" else math.exp(whole)
        values = [self._of_one(one) for one in each]
        return max(values) if self.references == "max" else math.fsum(values) / len(values)

    def _of_one(self, logprobs: tuple[float, ...]) -> float:
        if self.measure == "prob":
            return of.prob(logprobs)
        if self.measure == "avg_prob":
            return of.avg_prob(logprobs)
        if self.measure == "log_prob":
            return of.log_prob(logprobs, self.clip)
        return of.avg_log_prob(logprobs, self.clip)
