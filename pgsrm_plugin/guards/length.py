"""Length: padding around a right answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.reading import ramp
from pgsrm_plugin.text.words import count_words

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder


class LengthGuard(Guard):
    """A response much longer than the reference; shorter ones are left alone.

    The ramp of the ratio of their words, from ``max_ratio`` to one more. For a reference shorter than ``min_reference``
    the ratio says nothing, so the response's own length counts, from ``max_words`` to twice as many.
    """

    kind: Literal["length"] = "length"
    max_ratio: float = Field(1.7, ge=1, description="words of the response to one of the reference that cost nothing")
    min_reference: int = Field(8, ge=1, description="of a reference shorter than this only max_words counts, in words")
    max_words: int = Field(60, ge=1, description="words that an answer to a short reference may have")

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [self._violation(pair) for pair in pairs]

    def _violation(self, pair: Compared) -> Violation:
        said, expected = count_words(pair.response), count_words(pair.reference)
        if expected >= self.min_reference:
            share = ramp(said / expected, self.max_ratio, self.max_ratio + 1)
        else:
            share = ramp(said, self.max_words, 2 * self.max_words)
        return Violation(share, (f"{said} words to {expected}",)) if share else NONE
