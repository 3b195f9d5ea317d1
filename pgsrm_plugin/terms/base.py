"""What a term is: a section of the spec that says everything about itself, and scores."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, ConfigDict, Field

from pgsrm_plugin.section import Section, summary
from pgsrm_plugin.terms.when import When

if TYPE_CHECKING:
    from pgsrm_plugin.asking.models import OwnModelSection
    from pgsrm_plugin.encoders.causal.scorer_model import ScorerModel
    from pgsrm_plugin.policy.base import Weights
    from pgsrm_plugin.types import Embedder, OwnModel, Row


@dataclass(frozen=True)
class Needs:
    """What a term looks at, beside the response; the spec is checked against it before anything is loaded.

    Attributes:
        references: the row's references.
        ground_truth: the row's ground truth.
        vectors: embeddings of responses and references.
        prompts: embeddings of prompts.
        tokens: how many tokens the encoder counts in a text.
        token_states: the encoder's states of single tokens.
        columns: further columns of the row, as dotted paths.
        texts: texts of the term's own, embedded with every batch as they are.
        model: a model of its own that is asked about the rows; parts with equal sections share one.
        policy: the weights of the policy that is trained, where it is asked itself.
        scorer: a causal language model that is asked in its place; parts with equal sections share one.
        answer_place: where the answer begins among the policy's own tokens.
        decay: how much of a running mean of its weights each step keeps, where that is asked.
    """

    references: bool = False
    ground_truth: bool = False
    vectors: bool = False
    prompts: bool = False
    tokens: bool = False
    token_states: bool = False
    columns: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    model: OwnModelSection | None = None
    policy: Weights | None = None
    scorer: ScorerModel | None = None
    answer_place: bool = False
    decay: float | None = None

    @property
    def encoder(self) -> bool:
        """Whether there must be an encoder."""
        return self.vectors or self.prompts or self.tokens or self.token_states or bool(self.texts)


class Term(Section, ABC):
    """A component of the reward: a pure function of single rows, with its settings.

    A subclass has ``kind: Literal["..."] = "..."``, fields for its settings, and :meth:`score`. The first line of its
    docstring is its line in the tables and in the JSON Schema. Its module must be quick to import: torch and other
    libraries are imported in :meth:`score`.
    """

    model_config = ConfigDict(json_schema_extra=lambda schema, term: schema.update(description=summary(term)))

    also_known_as: ClassVar = {
        "weight": "write its weight under `weights` of the spec",
        "coef": "write its weight under `weights` of the spec",
        "scale": "write its weight under `weights` of the spec",
        "name": "leave it out: a term's name is its key under `terms`",
        "type": "write `kind`",
    }
    kind: str
    when: When | None = Field(
        None, exclude_if=lambda given: given is None, description="the rows on which the term counts; all without it"
    )
    is_fault: ClassVar[bool] = False
    """True when it measures a fault (repetition), so that 0 is best: its weight must not be positive."""
    is_diagnostic: ClassVar[bool] = False
    """Whether it is logged and never paid: its weight is 0, whether the spec gives it or not."""
    guarded: ClassVar[bool] = False
    """Whether it is a likeness to references, from which the spec's guards take what they find wrong."""
    verdict: ClassVar[int] = 0
    """Above 0 where it says whether an answer is right; :func:`pgsrm_plugin.reward.accuracy` asks the greatest one."""

    remedy: ClassVar[str] = "use another encoder"
    """What messages advise where the encoder cannot give what the term needs, or knows nothing of its texts."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value it can return."""
        return 0.0, 1.0

    @property
    def needs_groups(self) -> bool:
        """Whether a value depends on the other responses to the row's prompt; then :meth:`score_groups` scores."""
        return False

    @property
    def declines(self) -> bool:
        """Whether it may find a row that it cannot score, and give None for it: the row is unscorable then."""
        return False

    def alone(self) -> Term:
        """What scores responses without their groups: how validation and the audit score."""
        return self

    def needs(self) -> Needs:
        """What it looks at beside the response."""
        return Needs()

    def counts(self, row: Row) -> bool:
        """Whether it counts on a row: ``when`` holds, or there is none."""
        return self.when is None or self.when.holds(row.columns)

    def check_row(self, row: Row, name: str) -> None:
        """Refuses a row whose ground truth is there but of no use; ``name`` is the term's in the spec.

        Raises:
            DataError: naming the field.
        """

    def check_encoder(self, identity: str) -> None:
        """Refuses an encoder that the settings do not fit.

        Raises:
            SpecError: beginning with the key of the setting.
        """

    def check_model(self, model: OwnModel) -> None:
        """Refuses a model of its own that the settings do not fit; called when it is built.

        Raises:
            SpecError: beginning with the key of the setting.
        """

    def advise(self, reference_tokens: Sequence[int]) -> str | None:
        """What to say, once, about a data set by the tokens of its references, where the policy is asked.

        Raises:
            DataError: the term cannot score such references.
        """
        return None

    @abstractmethod
    def score(self, rows: Sequence[Row], encoder: Embedder) -> Sequence[float | None]:
        """The raw value of each row, within :attr:`bounds`; ``encoder`` is of use only where :meth:`needs` says so."""

    def score_groups(self, groups: Sequence[Sequence[Row]], encoder: Embedder) -> Sequence[Sequence[float | None]]:
        """The raw values of the rows of each group, which are in an order of their own; equal rows get equal values.

        A response that was sampled twice is there twice. The default scores each row alone.
        """
        values = iter(self.score([row for group in groups for row in group], encoder))
        return [[next(values) for _ in group] for group in groups]


def _compiles(pattern: str | None) -> str | None:
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
    return pattern


Pattern = Annotated[str | None, AfterValidator(_compiles)]
"""A regular expression, or none."""
Grid = Annotated[float, Field(gt=0, le=0.1)] | None
"""The step of a grid that values of a term are rounded to, or none."""
QUANTISE = "round values to multiples of this (1e-4, say), so that rewards within the encoder's noise are ties"
