"""The sections of models of a part's own: what terms and guards ask about the rows, beside the encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import Self

from pgsrm_plugin.section import Section

if TYPE_CHECKING:
    from pgsrm_plugin.types import NamedModel


class OwnModelSection(Section, ABC):
    """The section of such a model. Parts with equal sections share one model, and what it said.

    Its module must be quick to import: what computes is imported by :meth:`build`.
    """

    called: ClassVar[str] = "model"
    """The name under which a batch's statistics count its questions."""
    asked: ClassVar[str] = "questions"
    """What they count."""

    def __hash__(self) -> int:
        # The default one is of the fields' values, among which there may be dicts.
        return hash((type(self), self.model_dump_json()))

    def placed(self, device: str) -> Self:
        """Itself on a device, of a model that runs in this process and whose section names none."""
        return self

    @abstractmethod
    def build(self) -> NamedModel:
        """The model, ready to be asked.

        Raises:
            SpecError: it cannot be found or loaded, or is not what the section says; begins with the key.
            ScorerError: it fails its self-test.
        """
