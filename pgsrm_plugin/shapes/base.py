"""What a shape is: a function of a row's reward, and of what the starting policy earned."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field

from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.section import Section, beside_spec, summary
from pgsrm_plugin.shapes.baselines import Baseline, Baselines

Steepness = Annotated[float, Field(gt=0, le=1e4)]
"""A factor of differences of rewards. Published ones are 1, for logits of reward models, whose differences are some
units; rewards here mostly lie in [0, 1], where a factor of 1 would use a quarter of a sigmoid's height."""


class Shape(Section, ABC):
    """A function of single rewards that never decreases.

    A subclass has ``kind: Literal["..."] = "..."``, fields for its settings, and :meth:`shaped`.
    """

    model_config = ConfigDict(json_schema_extra=lambda schema, part: schema.update(description=summary(part)))

    kind: str
    only_shifts: ClassVar[bool] = False
    """Whether the rewards of one prompt are only shifted, which an algorithm that subtracts a mean undoes."""
    suits: ClassVar[str] = "any algorithm"
    """Which algorithms it makes sense with, in a few words."""

    def __str__(self) -> str:
        settings = self.model_dump(exclude={"kind"}, exclude_none=True)
        shown = "; ".join(f"{key}: {value}" for key, value in settings.items())
        return f"{self.kind} ({shown})" if shown else self.kind

    def read(self, fingerprint: str) -> Baselines | None:
        """What the starting policy earned under the spec of this fingerprint; None where the shape does not ask.

        Raises:
            SpecError: the file cannot be read, or has the scores of another spec.
        """
        return None

    @abstractmethod
    def shaped(self, reward: float, baseline: Baseline | None) -> float:
        """What a reward becomes; ``baseline`` is None only where :meth:`read` gives none."""

    @abstractmethod
    def reach(self, low: float, high: float) -> tuple[float, float]:
        """The least and the greatest value for rewards, and baselines, of [low, high]."""


class AgainstBaselines(Shape):
    """A shape that looks at what the starting policy earned."""

    baselines: Annotated[str, BeforeValidator(beside_spec)] = Field(
        description="the file that `pgsrm baselines generate` wrote for this spec"
    )

    def read(self, fingerprint: str) -> Baselines:
        """See :meth:`Shape.read`."""
        found = Baselines.read(self.baselines)
        if found.fingerprint != fingerprint:
            raise SpecError(
                f"shape.baselines: {self.baselines} has scores of another spec than this one (fingerprints "
                f"{found.fingerprint[:8]} and {fingerprint[:8]}); run `pgsrm baselines generate` again with this spec "
                f"and "
                "the same store, which asks for no answer twice"
            )
        return found


def sigmoid(value: float) -> float:
    """:math:`1 / (1 + e^{-x})`, which does not overflow.

    >>> sigmoid(0.0), sigmoid(-1000.0), sigmoid(1000.0)
    (0.5, 0.0, 1.0)
    """
    return (1.0 + math.tanh(value / 2.0)) / 2.0


def log_sigmoid(value: float) -> float:
    r""":math:`\log \sigma(x)`, exact also where the sigmoid is 0.

    >>> log_sigmoid(-1000.0)
    -1000.0
    """
    return min(value, 0.0) - math.log1p(math.exp(-abs(value)))
