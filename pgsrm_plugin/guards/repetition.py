"""Repetition: a loop is no answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.reading import ramp
from pgsrm_plugin.text.words import word_ngrams

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder


class RepetitionGuard(Guard):
    """Word trigrams of the response that occurred before in it, more than in the reference.

    The ramp of their share, less the reference's own, from 0.15 to 0.45.
    """

    kind: Literal["repetition"] = "repetition"

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [_violation(pair) for pair in pairs]


def _violation(pair: Compared) -> Violation:
    share, repeated = _repeated(pair.response)
    share = ramp(share - _repeated(pair.reference)[0], 0.15, 0.45) if share else 0.0
    return Violation(share, repeated) if share else NONE


def _repeated(text: str) -> tuple[float, tuple[str, ...]]:
    seen, repeated = set(), []
    trigrams = word_ngrams(text, 3)
    for trigram in trigrams:
        if trigram in seen:
            repeated.append(" ".join(trigram))
        seen.add(trigram)
    return (len(repeated) / len(trigrams) if trigrams else 0.0), tuple(dict.fromkeys(repeated))[:4]
