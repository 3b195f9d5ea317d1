"""The plain data that travels through the reward core, and the protocols its parts satisfy.

Shape suffixes: ``B`` rows of a batch, ``N`` texts, ``D`` embedding dimensions, ``T`` tokens of one text.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch

from pgsrm_plugin.policy.base import PolicyTokens, Reader, Written

Prompt: TypeAlias = "str | Sequence[Mapping[str, str]]"
"""Plain text, or chat messages with ``role`` and ``content``."""

GUARD = "guard/"
"""What the names of the guards' diagnostics begin with."""


@dataclass(frozen=True)
class RewardSample:
    """One response to score.

    Attributes:
        prompt: text or chat messages that the policy answered.
        response: what the policy wrote, decoded without special tokens.
        references: the answers to compare with (the parent's, or an expert's); one or many.
        ground_truth: the short correct answer, for ``exact_match`` and ``correctness``; or several, each of them right.
        data_source: the name of the data set, passed through for logging.
        group: the id that the responses to one prompt share; needed by ``aggregate: group_normalised``.
        columns: the row's other columns, among which ``when`` of a term finds its own.
        tokens: prompt and response as the policy's own tokens, for terms that ask the policy.
    """

    prompt: Prompt
    response: str
    references: tuple[str, ...] = ()
    ground_truth: str | tuple[str, ...] | None = None
    data_source: str = ""
    group: str | int | None = None
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False)
    tokens: PolicyTokens | None = None


def ground_truths(given: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The ground truths of a sample or record, none, one or several, as a tuple."""
    return () if given is None else (given,) if isinstance(given, str) else given


@dataclass(frozen=True)
class ReferencePairs:
    """Pairs of prepared references that a part of a spec is calibrated on.

    Attributes:
        unrelated: of different prompts.
        related: of one prompt: the same in other words.
        encoder: the identity of the spec's encoder; empty where none is asked.
    """

    unrelated: Sequence[tuple[str, str]]
    related: Sequence[tuple[str, str]]
    encoder: str = ""


@dataclass(frozen=True)
class Calibrated:
    """The settings that a part should have on a user's data, and a sentence on what was measured."""

    settings: Mapping[str, Any]
    measured: str


@dataclass(frozen=True)
class RewardOutput:
    """The rewards of a batch. Every tensor is float64 on the CPU, finite, of shape (B,).

    Attributes:
        total_B: the reward.
        terms: each term's raw value, by name.
        weighted: each term's contribution after gates, normalisation and weight, by name: its share of the total
            (before it is shaped), or its factor where the aggregation multiplies.
        scored_B: bool. False only for unscorable rows under ``unscorable: mask``; leave these out of the
            loss and of group statistics. Their total is 0.
        diagnostics: per-row numbers that are no reward (``unscorable``, ``truncated``, ``response_chars`` ...).
        stats: numbers about the batch as a whole (encoder texts, tokens, seconds, cache hits).
        guard_words: by row, the words that made each guard fire that did, for the reference that is logged; empty where
            the spec has no guards.
        unnormalised_B: where the aggregation gives advantages (``group_normalised``), the weighted sum of the terms
            before any normalisation: no algorithm may normalise the total within its group again. Else None.
    """

    total_B: torch.Tensor
    terms: Mapping[str, torch.Tensor]
    weighted: Mapping[str, torch.Tensor]
    scored_B: torch.Tensor
    diagnostics: Mapping[str, torch.Tensor]
    stats: Mapping[str, float] = field(default_factory=dict)
    unnormalised_B: torch.Tensor | None = None
    guard_words: Sequence[Mapping[str, tuple[str, ...]]] = ()

    @property
    def rewards(self) -> torch.Tensor:
        """What each response is worth by itself, (B,): the total, or the weighted sum that was normalised into it."""
        return self.total_B if self.unnormalised_B is None else self.unnormalised_B

    @property
    def violations(self) -> dict[str, torch.Tensor]:
        """What each guard of the spec found, by its name: the violation of each row, in [0, 1]."""
        return {
            name.removeprefix(GUARD): value_B for name, value_B in self.diagnostics.items() if name.startswith(GUARD)
        }

    def __len__(self) -> int:
        return int(self.total_B.shape[0])

    def columns(self, prefix: str = "reward") -> dict[str, torch.Tensor]:
        """Every per-row number by its logged name; the same keys for every batch of one spec.

        ``reward``, ``PREFIX/<term>`` (raw), ``PREFIX/<term>/weighted``, ``PREFIX/scored``, ``PREFIX/<diagnostic>``.
        """
        columns = {"reward": self.total_B}
        columns |= {f"{prefix}/{name}": value_B for name, value_B in self.terms.items()}
        columns |= {f"{prefix}/{name}/weighted": value_B for name, value_B in self.weighted.items()}
        columns[f"{prefix}/scored"] = self.scored_B.double()
        columns |= {f"{prefix}/{name}": value_B for name, value_B in self.diagnostics.items()}
        return columns

    def rows(self) -> list[dict[str, float]]:
        """One dict of floats a row, all with the same keys (those of :meth:`columns`)."""
        columns = {name: value_B.tolist() for name, value_B in self.columns().items()}
        return [{name: float(values[i]) for name, values in columns.items()} for i in range(len(self))]


@dataclass(frozen=True)
class Embeddings:
    """What an encoder returns for N texts.

    Attributes:
        vectors_ND: float32, CPU. No zero row, but for unknown texts.
        tokens_N: int64, tokens of each text before truncation; -1 where the encoder cannot know.
        truncated_N: bool, whether the encoder read less than the whole text.
        unknown_N: bool, the texts that the encoder cannot represent (no known word); None: there are none.
            Said by the encoder, never guessed from a zero vector: that is what a broken one returns.
    """

    vectors_ND: torch.Tensor
    tokens_N: torch.Tensor
    truncated_N: torch.Tensor
    unknown_N: torch.Tensor | None = None

    @classmethod
    def concat(cls, parts: Sequence[Embeddings]) -> Embeddings:
        """The texts of all parts (at least one), in order."""
        unknown_N = None
        if any(part.unknown_N is not None for part in parts):
            unknown_N = torch.cat([_none_unknown(part) if part.unknown_N is None else part.unknown_N for part in parts])
        return cls(
            torch.cat([part.vectors_ND for part in parts]),
            torch.cat([part.tokens_N for part in parts]),
            torch.cat([part.truncated_N for part in parts]),
            unknown_N,
        )

    def take(self, index: torch.Tensor) -> Embeddings:
        """The texts at the places of an int64 index, (M,), in its order; a place may come several times."""
        unknown_N = None if self.unknown_N is None else self.unknown_N[index]
        return Embeddings(self.vectors_ND[index], self.tokens_N[index], self.truncated_N[index], unknown_N)


def _none_unknown(embeddings: Embeddings) -> torch.Tensor:
    return torch.zeros(len(embeddings.vectors_ND), dtype=torch.bool)


@runtime_checkable
class Encoder(Protocol):
    """A frozen text encoder. Safe to call again after it raised :class:`~pgsrm_plugin.errors.ScorerError`."""

    @property
    def identity(self) -> str:
        """What determines its vectors: model, revision or digest, prompt, truncation, dtype. Used as cache key."""

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """Embed the texts, in order."""


@runtime_checkable
class TokenEncoder(Encoder, Protocol):
    """An encoder that also gives the states of single tokens (needed by ``bertscore``)."""

    def token_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """For each text the (T, D) float32 CPU states of its tokens, without special tokens."""


@runtime_checkable
class OnePassEncoder(TokenEncoder, Protocol):
    """A token encoder that computes a text's vector and its token states together, at the cost of either."""

    def encode_with_states(self, texts: Sequence[str]) -> tuple[Embeddings, list[torch.Tensor]]:
        """What ``encode`` and ``token_states`` give, in one pass over the texts."""


class Unread(NamedTuple):
    """What an encoder does not know of a text.

    Attributes:
        words: the unknown words in the order of the text, as they are written, repeats included.
        whole: whether no word of the text is known.
    """

    words: tuple[str, ...] = ()
    whole: bool = False


class Vocabulary(Protocol):
    """The words that an encoder knows; computes no vectors."""

    @property
    def reads(self) -> str:
        """What it has words of, to stand after "this encoder reads"."""

    def unread(self, texts: Sequence[str]) -> list[Unread]:
        """What is not known of each text, at its whole length."""


@runtime_checkable
class ReadingEncoder(Encoder, Protocol):
    """An encoder that may tell which words it does not know."""

    @property
    def vocabulary(self) -> Vocabulary | None:
        """Its words; None where every text has a representation of its own, or nobody here can tell."""


Question: TypeAlias = "tuple[str, ...]"
"""What a model of a part's own is asked: texts, of which it knows what each is for."""


class Reply(NamedTuple):
    """What such a model says to a question.

    Attributes:
        values: its numbers, all finite; the model says what each of them is.
        truncated: whether it read less than the whole question.
        names: what its numbers are called, of a model that names them.
        text: its words, of a model that writes.
    """

    values: tuple[float, ...] = ()
    truncated: bool = False
    names: tuple[str, ...] = ()
    text: str = ""


class NamedModel(Protocol):
    """A frozen model that a part of a spec names."""

    @property
    def identity(self) -> str:
        """What determines its answers: model, revision or digest, truncation, dtype."""


class OwnModel(NamedModel, Protocol):
    """One that terms and guards ask about the rows: a cross-encoder, a reward model, a language model.

    Safe to ask again after it raised a :class:`~pgsrm_plugin.errors.ScorerError`.
    """

    def judge(self, questions: Sequence[Question]) -> Sequence[Reply]:
        """What it says to each question, in order."""


@dataclass(frozen=True)
class ScoredText:
    """A text in the form in which texts are scored.

    Attributes:
        text: clean (valid UTF-8), surrounding white space removed, at most ``max_chars`` long.
        uncut: the same at its whole length.
        unscorable: why it cannot be scored (``"empty"``, ``"no answer tag"``), or None.
        truncated: whether ``max_chars`` cut it.
    """

    text: str
    uncut: str
    unscorable: str | None
    truncated: bool


@dataclass(frozen=True)
class Row:
    """A row as the terms see it. All strings are clean (valid UTF-8).

    Attributes:
        raw: the whole response, thinking included.
        visible: the response without its thinking.
        response: the scored part: visible, and inside the answer tag if the spec has one.
        references: in the form in which the response is scored.
        ground_truths: the correct answers, any of which is right; empty where the row has none.
        factors: what the spec's guards leave of the likeness to each reference, in [0, 1]; empty: all of it.
        columns: the columns that the spec's switches look at, as texts.
        written: the response by the policy's own tokens, without any where only models are asked that the spec names;
            None where no term asks either.
        asked: the prompt as it was given, for such models.
    """

    prompt: str
    raw: str
    visible: str
    response: ScoredText
    references: tuple[ScoredText, ...]
    ground_truths: tuple[str, ...]
    factors: tuple[float, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    written: Written | None = None
    asked: Prompt = field(default="", hash=False)

    @property
    def targets(self) -> tuple[str, ...]:
        """The texts of the references."""
        return tuple(reference.text for reference in self.references)

    def guarded(self, values: Sequence[float], low: float) -> list[float]:
        """The values for each reference, what they are above ``low`` times the reference's factor."""
        if not self.factors:
            return list(values)
        return [low + (value - low) * factor for value, factor in zip(values, self.factors, strict=True)]


class Embedder(Protocol):
    """What a term may ask of the batch's encoder; repeated texts cost nothing.

    The rows' responses and references are embedded; other texts are to be handed to :meth:`embed` first.
    """

    def embed(self, texts: Sequence[str]) -> None:
        """Embeds further texts (parts of those that there are, say), in one call."""

    def cosine(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The cosine of each pair of texts, in [-1, 1]; one above 0 times its :meth:`unread_factors`.

        A text that has no representation is like itself alone: 1 beside its equal, 0 beside others.
        """

    def unread_factors(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """What unknown words leave of the likeness of each pair, in [0, 1]; :meth:`cosine` has it already."""

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as the encoder counts them."""

    def token_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """The (T, D) unit token states of each text."""

    def ask(self, model: Hashable, questions: Sequence[Question]) -> list[Reply]:
        """What a model of the part's own says to each question; by the section that names it."""

    def reader(self, scorer: Hashable) -> Reader:
        """The policy that is trained, by which of its weights are asked, or a model, by the section that names it."""


@runtime_checkable
class Measurable(Protocol):
    """A term or a guard some of whose settings should be measured on a user's references."""

    def calibrate(self, pairs: ReferencePairs, encoder: Embedder) -> Calibrated:
        """The settings that fit.

        Raises:
            DataError: the pairs do not suffice.
        """
