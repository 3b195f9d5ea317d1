"""The policy as a reward sees it: tokens that it read and wrote, and log-probabilities that the trainer computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from pgsrm_plugin.types import Prompt, Row

Weights: TypeAlias = Literal["policy", "frozen", "ema"]
"""The weights that are asked: the policy's own; those of the trainer's frozen reference; a running mean of its own."""

WHERE = (
    "`pgsrm train`, and verl with trainer.v1.trainer_mode=pgsrm_sync, can ask it; a term that has `scorer` can ask a "
    "model instead: `scorer: {model: ...}`"
)
"""What messages say where a policy is asked for and none is there."""


@dataclass(frozen=True)
class PolicyTokens:
    """What the policy read and wrote, as the tokens themselves: nothing is ever tokenised again.

    Attributes:
        prompt: what it read, without padding.
        response: what it wrote, with the end-of-text token where it wrote one.
        guidance: how many of the prompt's last tokens are the beginning of a reference, from which the policy went on.
    """

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    guidance: int = 0


@dataclass(frozen=True)
class Written:
    """A response as the policy wrote it, and where its answer stands.

    Attributes:
        tokens: of prompt and response.
        text: the response, decoded without special tokens and not cleaned.
        reasoning: where the reasoning ends: characters of ``text`` before the answer's opening mark. None where no
            answer begins: the thinking or the answer's tag is not closed, or there is no tag.
        answer: where the answer begins, after its opening mark; None likewise.
        opening, closing: the marks around an answer; both empty where it runs from the thinking to the end of text.
        thinking: the marks of thinking, tags' names or pairs, as the spec has them.
        unclosed: whether a tag that is never closed holds the answer, as the spec has it.
    """

    tokens: PolicyTokens
    text: str
    reasoning: int | None
    answer: int | None
    opening: str = ""
    closing: str = ""
    thinking: tuple[str | tuple[str, str], ...] = ()
    unclosed: bool = False


class Continuation(NamedTuple):
    """Tokens whose log-probabilities are asked for.

    Attributes:
        prompt: what the policy read; at least one token.
        between: what stands after it: reasoning, and the answer's opening tag.
        target: what is asked for; at least one token.
    """

    prompt: tuple[int, ...]
    between: tuple[int, ...]
    target: tuple[int, ...]


class TokenStatistics(NamedTuple):
    """Of each target token: its natural log-probability, and the entropy of the distribution it was taken from."""

    logprobs: tuple[float, ...]
    entropies: tuple[float, ...]


class TokenCodec(Protocol):
    """From texts to tokens and back."""

    @property
    def end(self) -> int:
        """The end-of-text token."""

    def encode(self, text: str) -> Sequence[int]:
        """The tokens of a text by itself, without special tokens around it."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special tokens: how the trainer made the response's text."""


class PolicyScorer(TokenCodec, Protocol):
    """What a trainer answers for its policy."""

    @property
    def context(self) -> int:
        """The most tokens that the policy reads."""

    def look(self, weights: Weights, asked: Sequence[Continuation]) -> Sequence[TokenStatistics]:
        """Statistics of each target's tokens, in float32, at the temperature of the sampling; all in few forwards."""


class TextScorer(PolicyScorer, Protocol):
    """A model that a spec names: it has but one set of weights, and reads texts by its own tokens."""

    @property
    def identity(self) -> str:
        """What determines its answers: model, revision or digest, template, temperature."""

    def tokens(self, prompt: Prompt, response: str) -> PolicyTokens:
        """Prompt and response as it reads them.

        Raises:
            DataError: it has no chat template for a prompt that is a chat.
        """


class Reader(TokenCodec, Protocol):
    """Who is asked about the responses of a batch: the policy, with certain weights, or a model that a spec names."""

    def written(self, row: Row) -> Written:
        """A response by the tokens of who is asked."""

    def look(self, asked: Sequence[Continuation]) -> Sequence[TokenStatistics]:
        """See :meth:`PolicyScorer.look`."""
