"""What a guard is: a factor on what a response has earned by its likeness to a reference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ConfigDict, Field

from pgsrm_plugin.section import Section, summary
from pgsrm_plugin.terms.base import Needs

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder


class Compared(NamedTuple):
    """A response beside one of its references, and what was asked."""

    response: str
    reference: str
    prompt: str


class Violation(NamedTuple):
    """How far a guard's rule is broken, in [0, 1], and the words that say so."""

    share: float
    words: tuple[str, ...] = ()


NONE = Violation(0.0)


class Guard(Section, ABC):
    """A rule about a response and a reference that likeness does not see.

    What a similarity term gives the pair, above the term's least value, is multiplied by ``1 - cut * violation``;
    several guards multiply; the best reference is taken after. A subclass has ``kind: Literal["..."] = "..."``, fields
    for its settings, and :meth:`violations`. Its rule looks at nothing but the texts and the encoder, so that a row's
    reward does not depend on its batch.
    """

    model_config = ConfigDict(json_schema_extra=lambda schema, guard: schema.update(description=summary(guard)))

    kind: str
    cut: float = Field(0.7, ge=0, le=1, description="what a whole violation takes away")

    def needs(self) -> Needs:
        """What it asks of the encoder."""
        return Needs()

    @abstractmethod
    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> Sequence[Violation]:
        """The violation of each pair; ``encoder`` is of use only where :meth:`needs` says so."""
