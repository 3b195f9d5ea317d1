"""What a reward says of itself, wherever it is computed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from pgsrm_plugin.reward import SemanticReward


class AggregateFacts(BaseModel):
    """What :func:`pgsrm_plugin.crosscheck.check_use` asks of a spec's aggregation."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)

    kind: str
    needs_groups: bool
    gives_advantages: bool
    only_shifts: bool
    instead: str


class ShapeFacts(BaseModel):
    """The same of its shape."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)

    kind: str
    only_shifts: bool


class CreditFacts(BaseModel):
    """The same of its credit."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)

    kind: str
    of_models: bool = False


class RewardFacts(BaseModel):
    """What who asks for rewards must know of them, and what a run's record should say.

    Attributes:
        terms: each term's weight, by name.
        aggregate, shape, credit, unscorable: as in the spec; see :func:`pgsrm_plugin.crosscheck.check_use`.
        columns: of rows, as dotted paths, that terms look at.
        grouped_terms: those that compare the responses to one prompt.
        policy_terms: those that ask the policy that is trained, with which of its weights.
        fingerprint: of the spec.
        encoder: its identity; None where the spec has no encoder.
        version: of this package.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    terms: dict[str, float]
    aggregate: AggregateFacts
    shape: ShapeFacts | None = None
    credit: CreditFacts | None = None
    unscorable: Literal["floor", "mask", "raise"]
    columns: tuple[str, ...] = ()
    grouped_terms: tuple[str, ...] = ()
    policy_terms: dict[str, str] = {}
    fingerprint: str
    encoder: str | None
    version: str

    @property
    def needs_groups(self) -> bool:
        """Whether a reward depends on the other responses to its prompt."""
        return self.aggregate.needs_groups or bool(self.grouped_terms)

    @classmethod
    def of(cls, reward: SemanticReward) -> RewardFacts:
        """What is to be known of a reward in this process."""
        from importlib.metadata import version

        spec = reward.spec
        return cls(
            name=spec.name,
            terms={name: spec.weight(name) for name in spec.terms},
            aggregate=AggregateFacts.model_validate(spec.aggregate),
            shape=None if spec.shape is None else ShapeFacts.model_validate(spec.shape),
            credit=None if spec.credit is None else CreditFacts.model_validate(spec.credit),
            unscorable=spec.unscorable,
            columns=spec.columns,
            grouped_terms=spec.grouped_terms,
            policy_terms=dict(spec.policy_terms),
            fingerprint=spec.fingerprint,
            encoder=None if reward.encoder is None else reward.encoder.identity,
            version=version("pgsrm-plugin"),
        )
