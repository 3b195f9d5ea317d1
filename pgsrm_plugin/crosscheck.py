"""A spec and a trainer that are valid each and not together: one table, asked by every trainer.

Each trainer says in its own words how it uses a spec's totals (:class:`Use`); the rules say what is wrong with that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pgsrm_plugin.aggregates import Sum
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.policy.base import WHERE


class Composes(Protocol):
    """What the rules ask of an :class:`~pgsrm_plugin.aggregates.Aggregate`."""

    @property
    def kind(self) -> str:
        """What the spec calls it."""

    @property
    def needs_groups(self) -> bool:
        """Whether a reward depends on the other responses to its prompt."""

    @property
    def gives_advantages(self) -> bool:
        """Whether totals are advantages."""

    @property
    def only_shifts(self) -> bool:
        """Whether it is the weighted sum but for a constant."""

    @property
    def instead(self) -> str:
        """What composes single responses, as messages name it."""


class Shapes(Protocol):
    """What the rules ask of a :class:`~pgsrm_plugin.shapes.Shape`."""

    @property
    def kind(self) -> str:
        """What the spec calls it."""

    @property
    def only_shifts(self) -> bool:
        """Whether the rewards of one prompt are only shifted."""


class Credits(Protocol):
    """What the rules ask of a :class:`~pgsrm_plugin.credit.Credit`."""

    @property
    def kind(self) -> str:
        """What the spec calls it."""

    @property
    def of_models(self) -> bool:
        """Whether language models are asked about the policy's own tokens."""


class Rules(Protocol):
    """What the rules look at: a :class:`~pgsrm_plugin.spec.RewardSpec`, or what a service says of its own."""

    @property
    def aggregate(self) -> Composes:
        """How terms become one reward."""

    @property
    def shape(self) -> Shapes | None:
        """What is made of the reward."""

    @property
    def credit(self) -> Credits | None:
        """Which tokens earned the reward."""

    @property
    def unscorable(self) -> str:
        """``floor``, ``mask`` or ``raise``."""

    @property
    def grouped_terms(self) -> Sequence[str]:
        """The terms that compare the responses to one prompt."""

    @property
    def policy_terms(self) -> Mapping[str, str]:
        """The terms that ask the policy, with which of its weights."""


@dataclass(frozen=True)
class Use:
    """How a trainer uses the totals of a spec. Texts complete the sentences of the rules; None: nothing is in the way.

    Attributes:
        one_by_one: responses are scored alone, without their group; the text says how to score whole steps.
        own_advantages: what makes advantages of its own out of rewards, and what does not, e.g. ``algorithm: a makes
            advantages of its own; set algorithm: b``.
        one_response: by which setting a prompt has one response only, e.g. ``group_size is 1``.
        subtracts_mean: what subtracts a mean from rewards, e.g. ``algorithm: a subtracts the group's mean``.
        divides_again: by which setting advantages are divided by their group's deviation once more.
        cannot_mask: who cannot leave a response out of the loss, and how to do it elsewhere: two texts.
        cannot_stop: who goes on when a response raises an error, and how to stop it elsewhere: two texts.
        weights: which of the policy's weights can be asked here, each with what must be set first (empty: nothing).
        no_policy: where the policy can be asked, for those that cannot be asked here.
        without_tokens: a response is a text and has one reward, nothing is known of its tokens; the text says how to
            have credit for them.
        without_models: no further language model is held beside the policy; the text says where one is.
    """

    one_by_one: str | None = None
    own_advantages: str | None = None
    one_response: str | None = None
    subtracts_mean: str | None = None
    divides_again: str | None = None
    cannot_mask: tuple[str, str] | None = None
    cannot_stop: tuple[str, str] | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    no_policy: str = WHERE
    without_tokens: str | None = None
    without_models: str | None = None


def _needs_groups(spec: Rules, use: Use) -> str | None:
    aggregate = spec.aggregate
    if aggregate.needs_groups and use.one_by_one:
        return (
            f"aggregate: {aggregate.kind} needs whole groups, and here responses come one by one; "
            f"{use.one_by_one}, or use aggregate: {aggregate.instead}"
        )
    return None


def _term_in_group(spec: Rules, use: Use) -> str | None:
    if spec.grouped_terms and use.one_by_one:
        return (
            f"term {spec.grouped_terms[0]!r} compares the responses to one prompt, and here they come one by one; "
            f"{use.one_by_one}, or leave it out"
        )
    return None


def _term_of_several(spec: Rules, use: Use) -> str | None:
    if spec.grouped_terms and use.one_response:
        return (
            f"term {spec.grouped_terms[0]!r} compares the responses to one prompt, and there would be none to compare "
            f"with because {use.one_response}; set it to 2 or more, or leave it out"
        )
    return None


def _is_an_advantage(spec: Rules, use: Use) -> str | None:
    aggregate = spec.aggregate
    if aggregate.gives_advantages and use.own_advantages:
        return (
            f"aggregate: {aggregate.kind} gives advantages, and {use.own_advantages}, or use aggregate: "
            f"{aggregate.instead}"
        )
    return None


def _needs_several(spec: Rules, use: Use) -> str | None:
    aggregate = spec.aggregate
    if aggregate.needs_groups and use.one_response:
        return (
            f"aggregate: {aggregate.kind} compares the responses to one prompt, and there would be none to compare "
            f"with because {use.one_response}; set it to 2 or more, or use aggregate: {aggregate.instead}"
        )
    return None


def _divided_once(spec: Rules, use: Use) -> str | None:
    aggregate = spec.aggregate
    if aggregate.gives_advantages and use.divides_again:
        return (
            f"aggregate: {aggregate.kind} divides each term by its group's deviation, and the sum would be divided "
            f"once more, which undoes it, because {use.divides_again}; set it to false, or use aggregate: "
            f"{aggregate.instead}"
        )
    return None


def _not_undone(spec: Rules, use: Use) -> str | None:
    aggregate = spec.aggregate
    if aggregate.only_shifts and use.subtracts_mean:
        return (
            f"aggregate: {aggregate.kind} only shifts the weighted sum, and {use.subtracts_mean}, which undoes it; "
            f"use aggregate: {Sum().kind}"
        )
    if spec.shape is not None and spec.shape.only_shifts and use.subtracts_mean:
        return (
            f"shape: {spec.shape.kind} only shifts the rewards of a prompt, and {use.subtracts_mean}, which undoes it; "
            "leave the shape out"
        )
    return None


def _can_mask(spec: Rules, use: Use) -> str | None:
    if spec.unscorable == "mask" and use.cannot_mask:
        who, instead = use.cannot_mask
        return f"unscorable: mask cannot take a response out of the loss of {who}; use unscorable: floor, or {instead}"
    return None


def _can_stop(spec: Rules, use: Use) -> str | None:
    if spec.unscorable == "raise" and use.cannot_stop:
        who, instead = use.cannot_stop
        return (
            f"unscorable: raise cannot stop {who}, which goes on without the response; use unscorable: floor, or "
            f"{instead}"
        )
    return None


def _asks_the_policy(spec: Rules, use: Use) -> str | None:
    for name, weights in spec.policy_terms.items():
        if not use.weights:
            return f"term {name!r} asks the policy itself, and here there are only its words; {use.no_policy}"
        if weights not in use.weights:
            return f"term {name!r} asks the weights {weights!r}, and here only {', '.join(use.weights)} can be asked"
        if use.weights[weights]:
            return f"term {name!r} asks the weights {weights!r}, which are not there: {use.weights[weights]}"
    return None


def _knows_tokens(spec: Rules, use: Use) -> str | None:
    if spec.credit is not None and use.without_tokens:
        return (
            f"credit: {spec.credit.kind} says which tokens of a response earned its reward, and here a response is a "
            f"text that gets one reward; {use.without_tokens}, or leave the credit out"
        )
    return None


def _holds_models(spec: Rules, use: Use) -> str | None:
    if spec.credit is not None and spec.credit.of_models and use.without_models:
        return (
            f"credit: {spec.credit.kind} asks language models about the policy's tokens, and here there is none beside "
            f"the policy; {use.without_models}, or use another credit"
        )
    return None


RULES: tuple[Callable[[Rules, Use], str | None], ...] = (
    _needs_groups,
    _term_in_group,
    _term_of_several,
    _is_an_advantage,
    _needs_several,
    _divided_once,
    _not_undone,
    _can_mask,
    _can_stop,
    _asks_the_policy,
    _knows_tokens,
    _holds_models,
)
"""What is refused: each gives the sentence to say, or None."""


def problems(spec: Rules, use: Use) -> list[str]:
    """The sentences of every rule that spec and use break together."""
    return [sentence for rule in RULES if (sentence := rule(spec, use)) is not None]


def check_use(spec: Rules, use: Use, label: str) -> None:
    """Refuses a spec that does not go with its use in training.

    Args:
        label: what messages call the spec, its file for instance.

    Raises:
        SpecError: the first problem.
    """
    for problem in problems(spec, use):
        raise SpecError(f"{label}: {problem}")
