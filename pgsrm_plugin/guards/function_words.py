"""Function words: a heap of keywords is no sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.order import scrambled
from pgsrm_plugin.guards.english.reading import FUNCTION_WORDS, NEGATIONS, Reading, ramp, read

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder

_FEW = 0.2
"""A text with a lesser share of function words is written in keywords itself."""


class FunctionWords(Guard):
    """Hardly any function words, where the reference has them (English).

    With :math:`s_x` and :math:`s_y` their share of the words of response and reference, the ramp of
    :math:`1 - s_x / s_y` from 0.7 to 0.95; from 0.35 to 0.6 where the response has the reference's content words in
    another order. Off for responses of fewer than four words, for references shorter than
    ``min_reference`` or with hardly any function words of their own, and for texts of other languages.
    """

    kind: Literal["function_words"] = "function_words"
    min_reference: int = Field(6, ge=1, description="shorter references are left alone, in words")

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [self._violation(read(pair.response), read(pair.reference)) for pair in pairs]

    def _violation(self, response: Reading, reference: Reading) -> Violation:
        too_short = len(response.plain) < 4 or len(reference.plain) < self.min_reference
        if too_short or not reference.is_english or _is_foreign(response):
            return NONE
        expected = _share(reference)
        if expected < _FEW:
            return NONE
        drop = 1.0 - _share(response) / expected
        share = ramp(drop, 0.7, 0.95)
        if share < 1.0 and drop > 0.35:
            share = max(share, ramp(drop, 0.35, 0.6) * _disorder(response, reference))
        return Violation(share, response.plain[:8]) if share else NONE


def _disorder(response: Reading, reference: Reading) -> float:
    """How far the content words are the reference's, in another order."""
    said, expected = ([stem for _, stem, _ in one.content] for one in (response, reference))
    shared = (Counter(said) & Counter(expected)).total()
    likeness = 2 * shared / max(1, len(said) + len(expected))
    return ramp(likeness, 0.7, 0.85) * ramp(scrambled(said, expected), 0.1, 0.3)


def _share(reading: Reading) -> float:
    return sum(word in FUNCTION_WORDS or word in NEGATIONS for word in reading.plain) / len(reading.plain)


def _is_foreign(reading: Reading) -> bool:
    return sum(not word.isascii() for word in reading.plain) > 0.1 * len(reading.plain)
