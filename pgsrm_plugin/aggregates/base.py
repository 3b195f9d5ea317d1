"""What an aggregation is: how the values of a row's terms become one reward."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pydantic import ConfigDict

from pgsrm_plugin.errors import did_you_mean
from pgsrm_plugin.section import Section, problem_at, summary

if TYPE_CHECKING:
    from pgsrm_plugin.terms import Term


@dataclass(frozen=True)
class Weighed:
    """A term as an aggregation sees it."""

    term: Term
    weight: float

    @property
    def lowers(self) -> bool:
        """Whether more of it is worse."""
        return self.term.is_fault or self.weight < 0

    def merit(self, value: float) -> float:
        """A value of [0, 1] as merit: 1 is best, also where the term measures a fault."""
        return 1.0 - value if self.lowers else value


@dataclass(frozen=True)
class ScoredRows:
    """What is composed: the scored rows of a batch, R of them.

    Attributes:
        terms: by name, in the spec's order.
        values: of each term, R values within its bounds, after the gates; 0 where it is off.
        groups: of each row, what those of one prompt share; of use only where the aggregation looks at groups.
        off: the rows on which a term does not count (its ``when``), by the names of terms that have such.
    """

    terms: Mapping[str, Weighed]
    values: Mapping[str, Sequence[float]]
    groups: Sequence[Hashable]
    off: Mapping[str, Set[int]] = field(default_factory=dict)

    @property
    def rows(self) -> range:
        """The rows' numbers."""
        return range(len(self.groups))

    def counts(self, name: str, row: int) -> bool:
        """Whether a term counts on a row."""
        return row not in self.off.get(name, ())

    def merits(self, name: str, off: float = 0.0) -> list[float]:
        """Of each row, the term's merit in [0, 1], or ``off`` where it does not count."""
        merit = self.terms[name].merit
        return [merit(value) if self.counts(name, row) else off for row, value in enumerate(self.values[name])]

    def members(self, name: str) -> list[list[int]]:
        """The rows of each group on which a term counts."""
        members: dict[Hashable, list[int]] = {}
        for row, group in enumerate(self.groups):
            if self.counts(name, row):
                members.setdefault(group, []).append(row)
        return list(members.values())


@dataclass(frozen=True)
class Composed:
    """What R rows are worth.

    Attributes:
        total: the reward of each row, or its advantage.
        parts: what each term contributed: its share of the total, or its factor where it multiplies.
        measures: further numbers of each row to log, under the same names in every batch.
        worth: where totals are advantages, what each row is worth by itself; else None.
    """

    total: list[float]
    parts: Mapping[str, list[float]]
    measures: Mapping[str, list[float]] = field(default_factory=dict)
    worth: list[float] | None = None


class Aggregate(Section, ABC):
    """A way to make one reward of several terms.

    A subclass has ``kind: Literal["..."] = "..."``, fields for its settings, and :meth:`compose`.
    """

    model_config = ConfigDict(json_schema_extra=lambda schema, part: schema.update(description=summary(part)))

    kind: str
    gives_advantages: ClassVar[bool] = False
    """Whether totals are advantages, which no algorithm may normalise again."""
    only_shifts: ClassVar[bool] = False
    """Whether it differs from the weighted sum by a constant only, which an algorithm that subtracts a mean undoes."""
    suits: ClassVar[str] = "any algorithm"
    """Which algorithms it makes sense with, in a few words."""
    logs: ClassVar[tuple[str, ...]] = ()
    """The names of its measures."""

    def __str__(self) -> str:
        settings = self.model_dump(exclude={"kind"}, exclude_none=True)
        shown = [f"{key}: {', '.join(value) if isinstance(value, tuple) else value}" for key, value in settings.items()]
        return f"{self.kind} ({'; '.join(shown)})" if shown else self.kind

    @property
    def needs_groups(self) -> bool:
        """Whether a row's reward depends on the other responses to its prompt."""
        return False

    def alone(self) -> Aggregate:
        """What a response is worth without its group: how validation and the audit score."""
        return self

    @property
    def instead(self) -> str:
        """What composes single responses, as messages name it."""
        return str(self.alone())

    def check(self, terms: Mapping[str, Weighed]) -> None:
        """Refuses terms that it cannot compose.

        Raises:
            PydanticCustomError: of :func:`~pgsrm_plugin.section.problem_at`, below the spec.
        """

    def lacks(self, terms: Mapping[str, Weighed], on: Set[str]) -> str | None:
        """What is missing to compose a row on which only some terms count, e.g. ``no term with a weight``; or None."""
        return None if any(terms[name].weight for name in on) else "no term with a weight"

    @abstractmethod
    def compose(self, scored: ScoredRows) -> Composed:
        """The rewards of a batch's scored rows; no rows give no rewards."""

    @abstractmethod
    def reach(self, terms: Mapping[str, Weighed]) -> tuple[float, float] | None:
        """The least and the greatest reward; None for advantages."""


def named(aggregate: Aggregate, key: str, names: Iterable[str], terms: Mapping[str, Weighed]) -> None:
    """Refuses a name under ``key`` that no term has."""
    for name in names:
        if name not in terms:
            raise problem_at(
                ("aggregate", key),
                f"there is no term {name!r}{did_you_mean(name, terms)} (terms: {', '.join(terms)})",
            )


def always_on(aggregate: Aggregate, key: str, name: str, terms: Mapping[str, Weighed]) -> None:
    """Refuses a switch of the term under ``key``, without which a row would have no reward."""
    if terms[name].term.when is not None:
        raise problem_at(
            ("terms", name),
            f"{name!r} is aggregate: {aggregate.kind}'s {key}, without which a row has no reward, so it can have no "
            "`when`",
        )


def merits_only(aggregate: Aggregate, names: Iterable[str], terms: Mapping[str, Weighed]) -> None:
    """Refuses terms whose values are not of [0, 1]: a product or a share of them would mean nothing."""
    for name in names:
        low, high = terms[name].term.bounds
        if (low, high) != (0.0, 1.0):
            raise problem_at(
                ("terms", name),
                f"{name!r} has values of [{low:g}, {high:g}], and aggregate: {aggregate.kind} takes values of [0, 1]; "
                "map it there by its settings (a likeness by transform: clipped, affine or calibrated), or leave it "
                "out with weight 0",
            )


def weights_unused(
    aggregate: Aggregate, used: Iterable[str], terms: Mapping[str, Weighed], why: str = "has no use for it"
) -> None:
    """Refuses a term that the aggregation leaves out, unless its weight of 0 says so."""
    used = set(used)
    for name, weighed in terms.items():
        if name not in used and weighed.weight != 0:
            raise problem_at(
                ("terms", name),
                f"aggregate: {aggregate.kind} {why}: {name!r}; give it weight 0 to log it only",
            )


def weighted_mean(merits: Mapping[str, Sequence[float]], weights: Mapping[str, float], row: int) -> dict[str, float]:
    """Each term's share :math:`|w_j| u_j / \\sum |w|` of one row; they add up to the mean."""
    whole = math.fsum(abs(weight) for weight in weights.values())
    return {name: abs(weights[name]) * merits[name][row] / whole for name in merits}
