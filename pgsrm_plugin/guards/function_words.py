"""Function words: a heap of keywords is no sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.reading import FUNCTION_WORDS, NEGATIONS, Reading, ramp, read

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder


class FunctionWords(Guard):
    """Far fewer function words than the reference has (English).

    The ramp of the drop in their share, from 0.22 to 0.34. Off for responses of fewer than four words and references
    shorter than ``min_reference``, and for texts of other languages.
    """

    kind: Literal["function_words"] = "function_words"
    min_reference: int = Field(8, ge=1, description="shorter references are left alone, in words")

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [self._violation(read(pair.response), read(pair.reference)) for pair in pairs]

    def _violation(self, response: Reading, reference: Reading) -> Violation:
        too_short = len(response.plain) < 4 or len(reference.plain) < self.min_reference
        if too_short or not reference.is_english or _is_foreign(response):
            return NONE
        share = ramp(_share(reference) - _share(response), 0.22, 0.34)
        return Violation(share, response.plain[:8]) if share else NONE


def _share(reading: Reading) -> float:
    return sum(word in FUNCTION_WORDS or word in NEGATIONS for word in reading.plain) / len(reading.plain)


def _is_foreign(reading: Reading) -> bool:
    return sum(not word.isascii() for word in reading.plain) > 0.1 * len(reading.plain)
