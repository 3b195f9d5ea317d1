"""What the child says of tokens, for rewards that ask the policy itself, and a running mean of its weights.

Shape suffixes: ``B`` continuations, ``S`` their tokens, ``T`` tokens after what they share.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pgsrm_lightning.policy import Evaluation, Policy
from pgsrm_lightning.rollout.generate import Rollout, always
from pgsrm_plugin import RewardSpec
from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.errors import DataError, SpecError
from pgsrm_plugin.policy.base import Continuation, PolicyTokens, TokenStatistics, Weights
from pgsrm_plugin.types import ground_truths


class EmaWeights(nn.Module):
    """A running mean of the trained weights: ``decay`` times itself, plus the rest of the policy's, after each step."""

    def __init__(self, policy: Policy, decay: float) -> None:
        super().__init__()
        self._decay = decay
        self._trained = {name: value for name, value in policy.lm.named_parameters() if value.requires_grad}
        for name, value in self._trained.items():
            self.register_buffer(_buffer(name), value.detach().clone())

    @torch.no_grad()
    def update(self) -> None:
        """Takes the policy's weights of now in."""
        for name, value in self._trained.items():
            self.get_buffer(_buffer(name)).lerp_(value, 1 - self._decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The policy has the mean's weights meanwhile; nothing is copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, value in self._trained.items():
            mean = self.get_buffer(_buffer(name))
            value.data, mean.data = mean.data, value.data


def _buffer(name: str) -> str:
    return name.replace(".", "/")


def ema_weights(policy: Policy, specs: Sequence[RewardSpec]) -> EmaWeights | None:
    """The running mean that terms ask for, if any does.

    Raises:
        SpecError: they ask for several.
    """
    needs = {name: term.needs() for spec in specs for name, term in spec.terms.items()}
    decays = {name: need.decay for name, need in needs.items() if need.decay is not None}
    if len(set(decays.values())) > 1:
        asked = ", ".join(f"{name} {decay:g}" for name, decay in decays.items())
        raise SpecError(f"terms.{next(iter(decays))}.decay: one running mean of weights is kept, not several ({asked})")
    return EmaWeights(policy, next(iter(decays.values()))) if decays else None


def check_room(record: Record, before: int, scorer: ChildScorer, spec: RewardSpec) -> None:
    """Refuses a row whose texts that the child is asked about do not fit after its prompt and the longest response.

    Args:
        before: tokens of these two.

    Raises:
        DataError: naming the row.
    """
    needs = [spec.terms[name].needs() for name in spec.policy_terms]
    asked = [("reference", text) for text in record.references if any(need.references for need in needs)]
    truths = ground_truths(record.ground_truth)
    asked += [("ground_truth", text) for text in truths if any(need.ground_truth for need in needs)]
    for field, text in asked:
        tokens = len(scorer.encode(text))
        if before + tokens >= scorer.context:
            raise DataError(
                f"{record.label}: field {field!r}: {text[:40]!r} has {tokens} tokens, and prompt and response "
                f"up to {before}, which together do not fit the child's context of {scorer.context}; shorten it, or "
                "lower model.sampling.max_new_tokens"
            )


class ChildScorer:
    """Satisfies :class:`~pgsrm_plugin.policy.base.PolicyScorer` by the child.

    What continuations share is read once: the prompt by all of its responses, or prompt and reasoning by all
    references, whichever saves more.

    Args:
        temperature: of the sampling.
        ema: the running mean; None where no term asks it.
        rows, tokens: of one forward; None: no limit. A continuation alone may have more tokens.
        go_on: called before each forward; raises where the work is to end.
    """

    def __init__(
        self,
        policy: Policy,
        temperature: float,
        ema: EmaWeights | None = None,
        rows: int | None = None,
        tokens: int | None = None,
        go_on: Callable[[], None] = always,
    ) -> None:
        self._policy, self._temperature, self._ema = policy, temperature, ema
        self._rows, self._tokens, self._go_on = rows, tokens, go_on
        self.end, self.context = policy.eos_ids[0], policy.context

    def encode(self, text: str) -> list[int]:
        """See :meth:`pgsrm_plugin.policy.base.PolicyScorer.encode`."""
        return list(self._policy.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        """See :meth:`pgsrm_plugin.policy.base.PolicyScorer.decode`."""
        text: str = self._policy.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    @torch.no_grad()
    def look(self, weights: Weights, asked: Sequence[Continuation]) -> list[TokenStatistics]:
        """See :meth:`pgsrm_plugin.policy.base.PolicyScorer.look`."""
        found: dict[int, TokenStatistics] = {}
        held = self._ema.in_place() if weights == "ema" and self._ema is not None else contextlib.nullcontext()
        with held:
            for batch in batches(rows_of(asked), self._rows, self._tokens):
                self._go_on()
                found |= self._looked(weights, batch)
        return [found[number] for number in range(len(asked))]

    def _looked(self, weights: Weights, batch: Sequence[Asked]) -> dict[int, TokenStatistics]:
        tokens_BS, attention_BS, width = padded(batch, self._policy.pad_id, next(self._policy.parameters()).device)
        evaluate = self._policy.evaluate_reference if weights == "frozen" else self._policy.evaluate
        skipped = [row.skipped for row in batch]
        seen: Evaluation = evaluate(tokens_BS, attention_BS, width, self._temperature, skipped)
        logprobs, entropies = seen.logprobs_BT.float().tolist(), seen.entropy_BT.float().tolist()
        return {
            row.number: TokenStatistics(
                tuple(logprobs[i][row.skipped : len(row.rest)]), tuple(entropies[i][row.skipped : len(row.rest)])
            )
            for i, row in enumerate(batch)
        }


class Asked(NamedTuple):
    """A continuation as a row: what it shares with others, and the rest, whose last tokens are asked for.

    Attributes:
        skipped: tokens of the rest that are not asked for.
        number: its place among the questions.
    """

    shared: tuple[int, ...]
    rest: tuple[int, ...]
    skipped: int
    number: int


def rows_of(asked: Sequence[Continuation]) -> list[Asked]:
    """The rows of continuations, those side by side that share their beginning.

    >>> few = [Continuation((1, 2, 3, 4), (5,), (6,)), Continuation((1, 2, 3, 4), (5,), (7,))]
    >>> [row.shared for row in rows_of(few)]
    [(1, 2, 3, 4, 5), (1, 2, 3, 4, 5)]
    >>> few = [Continuation((1, 2, 3, 4), (5,), (7,)), Continuation((1, 2, 3, 4), (6,), (7,))]
    >>> rows_of(few)[0]
    Asked(shared=(1, 2, 3, 4), rest=(5, 7), skipped=1, number=0)
    """
    rows: list[Asked] = []
    order = sorted(range(len(asked)), key=asked.__getitem__)
    for prompt, numbers in groupby(order, key=lambda number: asked[number].prompt):
        few = list(numbers)
        reasonings = {asked[number].between for number in few}
        repeated = sum(len(asked[number].between) for number in few) - sum(map(len, reasonings))
        if repeated < (len(reasonings) - 1) * len(prompt):  # prompts that would be read again
            rows += [Asked(prompt, asked[n].between + asked[n].target, len(asked[n].between), n) for n in few]
        else:
            rows += [Asked(prompt + asked[n].between, asked[n].target, 0, n) for n in few]
    return rows


def batches(rows: Sequence[Asked], most_rows: int | None, most_tokens: int | None) -> Iterator[list[Asked]]:
    """The rows of each forward."""
    batch: list[Asked] = []
    filled = 0
    for row in rows:
        added = len(row.rest) + (0 if batch and batch[-1].shared == row.shared else len(row.shared))
        full = len(batch) == most_rows or (most_tokens is not None and filled + added > most_tokens)
        if batch and full:
            yield batch
            batch, filled, added = [], 0, len(row.shared) + len(row.rest)
        batch.append(row)
        filled += added
    if batch:
        yield batch


def padded(rows: Sequence[Asked], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor, int]:
    """Tokens and attention, (B, S), what is shared padded on the left and the rest on the right; and T."""
    left, width = max(len(row.shared) for row in rows), max(len(row.rest) for row in rows)
    tokens, seen = [], []
    for shared, rest, _, _ in rows:
        before, after = left - len(shared), width - len(rest)
        tokens.append([pad_id] * before + [*shared, *rest] + [pad_id] * after)
        seen.append([0] * before + [1] * (len(shared) + len(rest)) + [0] * after)
    return torch.tensor(tokens, device=device), torch.tensor(seen, device=device), width


def tokens_of(rollout: Rollout) -> list[PolicyTokens]:
    """Prompt and response of each row."""
    split = rollout.tokens_BS.shape[1] - rollout.mask_BT.shape[1]
    tokens, seen = rollout.tokens_BS.tolist(), rollout.attention_BS.bool().tolist()
    guidance_B = rollout.guidance_B or (0,) * len(tokens)
    return [
        PolicyTokens(_kept(ids[:split], keep[:split]), _kept(ids[split:], keep[split:]), guidance)
        for ids, keep, guidance in zip(tokens, seen, guidance_B, strict=True)
    ]


def _kept(ids: Sequence[int], keep: Sequence[bool]) -> tuple[int, ...]:
    return tuple(token for token, kept in zip(ids, keep, strict=True) if kept)
