"""Prompt copying: the question is no answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.reading import likeness, ramp
from pgsrm_plugin.text.words import word_ngrams

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder


class PromptCopyGuard(Guard):
    """Word trigrams of the response that stand in the prompt and not in the reference.

    The ramp of their share, from 0.5 to 0.9; all for a copy of the whole prompt (a likeness of 0.9 or more), and
    nothing for a copy of the reference.
    """

    kind: Literal["prompt_copy"] = "prompt_copy"

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [_violation(pair) for pair in pairs]


def _violation(pair: Compared) -> Violation:
    n = min(3, max(1, len(word_ngrams(pair.response, 1))))
    said = word_ngrams(pair.response, n)
    asked = set(word_ngrams(pair.prompt, n)) - set(word_ngrams(pair.reference, n))
    copied = [ngram for ngram in said if ngram in asked]
    share = ramp(len(copied) / len(said), 0.5, 0.9) if said else 0.0
    is_as_long = 0.8 * len(pair.prompt) <= len(pair.response) <= 1.25 * len(pair.prompt)
    if not share and said and is_as_long and likeness(pair.response, pair.prompt) >= 0.9:
        share, copied = 1.0, said
    if not share or likeness(pair.response, pair.reference) > 0.9:
        return NONE
    return Violation(share, tuple(" ".join(ngram) for ngram in dict.fromkeys(copied))[:4])
