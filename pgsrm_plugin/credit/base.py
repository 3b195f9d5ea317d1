"""What a credit is: a way to share a response's reward out among its tokens, whose mean stays the response's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.credit.alignment import centred
from pgsrm_plugin.section import Section, summary

Segments = Annotated[str, Field(pattern=r"^(sentence|clause|words:[1-9][0-9]{0,3})$")]
Kept: TypeAlias = "frozenset[int]"
"""The segments, by number, that an altered text still has."""

MOST_TEXTS = 256
"""Altered texts of one response, at most: settings that could ask for more are refused."""


class Credit(Section, ABC):
    r"""Token credit that leaves every response its sequence advantage.

    .. math:: A_{i,t} = A_i + \alpha (c_{i,t} - \bar c_i)

    The mean is over the tokens that have credit; the others (thinking, tags, end of text) get none, which is the mean.
    Where an algorithm has token rewards in place of a sequence advantage, these are the score on the last token and
    :math:`\alpha (c_{i,t} - \bar c_i)` on each, so that their sum is the score.
    """

    model_config = ConfigDict(json_schema_extra=lambda schema, part: schema.update(description=summary(part)))

    also_known_as: ClassVar = {
        "weight": "write `alpha`",
        "coef": "write `alpha`",
    }
    kind: str
    of_models: ClassVar[bool] = False
    """Whether language models are asked about the policy's own tokens, which only a trainer that holds them can do."""
    no_reward: ClassVar[str] = ""
    """Why it would be no reward by itself, as the end of a sentence; for those who write it among the terms."""
    alpha: float = Field(1.0, ge=0, le=1e4, description="how much the credit counts; 0: it is computed and logged only")
    scale: Literal["share", "density"] = Field(
        "share",
        description="share: the credits of a response's tokens add up to what the response earned; density: each times "
        "the number of tokens, so that their mean does",
    )

    def advantages(self, credits: Sequence[float], counted: Sequence[bool]) -> list[float]:
        """What the tokens' advantages are above the response's, without alpha: centred, 0 where not counted.

        >>> from pgsrm_plugin.credit.prefix import Prefix
        >>> [round(one, 4) for one in Prefix().advantages([0.2, -0.05, 0.55], [True] * 3)]
        [-0.0333, -0.2833, 0.3167]
        """
        tokens = sum(counted) if self.scale == "density" else 1
        return centred([one * tokens for one in credits], counted)

    def objection(self, extracts: bool, asking: str | None, centring: str | None) -> str | None:
        """What a spec must not have beside it, as a sentence that begins with the kind; None where it has none of it.

        Args:
            extracts: whether ``text.extract`` scores what is in a box or a JSON object.
            asking: the first term that asks about the policy's tokens, or puts a text in the answer's place.
            centring: the aggregation, where it makes advantages of rewards.
        """
        return None


class Learning(NamedTuple):
    """How the model of a :class:`ModelCredit` learns from rewards, once a step.

    Attributes:
        beta: what the sum of a response's log-ratios is multiplied by, to be the logit of its success.
        lr: AdamW learning rate.
        grad_norm: gradients are scaled down to this norm.
        success: the least reward that is one; None: rewards are successes as far as they go, from the least to the
            greatest that the spec can give.
    """

    beta: float
    lr: float
    grad_norm: float
    success: float | None


class ModelCredit(Credit):
    """A credit by what a language model says of the policy's own tokens."""

    of_models: ClassVar = True
    model: str = Field("", description="folder or hub id of the language model; empty: the policy before training")


class SoftValueCredit(ModelCredit):
    r"""A credit by a model's logits, read as soft values: :math:`c_t = Q(s_t, y_t) - V(s_{t+1})`.

    With logits :math:`z`, :math:`Q = z` and :math:`V = \tau \log \sum_v \exp (z_v / \tau)`. A response's last token has
    no next state: it is not counted.
    """

    temperature: float = Field(1.0, gt=0, le=100, description="tau: of the soft maximum over the vocabulary")


class RatioCredit(ModelCredit):
    r"""A credit by two language models: :math:`c_t = \log \pi_\phi(y_t | y_{<t}) - \log \pi_{base}(y_t | y_{<t})`.

    A subclass has ``kind``, :attr:`model` and :attr:`base`: a folder or a hub id each, empty for the policy as it is
    before training.
    """

    no_reward: ClassVar = "log-ratios add up to how likely a response is, so it would pay for short ones"
    base: str = Field("", description="folder or hub id of what it is held against; empty: the policy before training")

    @property
    def learning(self) -> Learning | None:
        """How the model learns; None: it is frozen."""
        return None

    @property
    def normalised(self) -> bool:
        """Whether the log-ratios of a step are divided by the greatest sum of a response's from a token to its end."""
        return False

    def objection(self, extracts: bool, asking: str | None, centring: str | None) -> str | None:
        """Advantages, where the model learns from rewards by degrees."""
        if self.learning is None or self.learning.success is not None or centring is None:
            return None
        return (
            f"{self.kind} learns from rewards, which aggregate: {centring} makes advantages of; say with `success` "
            "from which reward on a response is one"
        )


class TextCredit(Credit):
    """A credit that scores a response's text again and again with segments of it left out.

    A subclass has ``kind: Literal["..."] = "..."``, fields for its settings, :meth:`kept` and :meth:`credits`.
    """

    also_known_as: ClassVar = {
        "unit": "write `segments`",
        "granularity": "write `segments`",
        "level": "write `segments`",
    }
    segments: Segments = Field("sentence", description="what is credited as one: sentence, clause or words:N")
    max_segments: int = Field(
        16, ge=2, le=64, description="of a response; the shortest are joined until it has no more"
    )

    @model_validator(mode="after")
    def _within_the_cap(self) -> Self:
        if self.most_texts > MOST_TEXTS:
            raise ValueError(
                f"up to {self.most_texts} altered texts would be scored for each response, and {MOST_TEXTS} is the "
                f"most; {self.fewer}"
            )
        return self

    @property
    def most_texts(self) -> int:
        """Altered texts of one response, at most."""
        return self.max_segments + 1

    @property
    def fewer(self) -> str:
        """How to have fewer."""
        return "lower max_segments"

    def objection(self, extracts: bool, asking: str | None, centring: str | None) -> str | None:
        """What is no prose, and terms that look at more than a text."""
        if extracts:
            return (
                f"{self.kind} leaves out parts of the text that is scored, and text.extract scores what is in a box or "
                "a JSON object; score the text around it (answer_tag, say), or leave the credit out"
            )
        if asking is not None:
            return (
                f"{self.kind} scores the answer with parts left out, and term {asking!r} asks about the tokens that "
                "the policy wrote, or puts the reference in the answer's place; leave one of them out"
            )
        return None

    @abstractmethod
    def kept(self, segments: int, seed: int) -> list[Kept]:
        """Which altered texts are scored of a response of so many segments, 2 or more.

        Args:
            seed: made of the text.
        """

    @abstractmethod
    def credits(self, segments: int, seed: int, value: Mapping[Kept, float]) -> list[float]:
        """Each segment's credit, by the values of what :meth:`kept` asked for."""
