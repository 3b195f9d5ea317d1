"""One text for every prompt."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from typing_extensions import Self

from pgsrm_plugin.audit.attacks.base import Attack, Pay, Surroundings
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import content_words
from pgsrm_plugin.terms.judge.openers import OPENERS

_ROWS = 48
"""Rows on which the search scores a candidate."""
_REFERENCES = 16
_WORDS = 16
_ROUNDS = 3
_STEPS = 16
"""Additions that a round tries."""


class UniversalText(Attack):
    """The text that pays most whatever the prompt: searched greedily on half of the rows, scored on the other half.

    It begins as the best of the master keys, some references and the commonest content words, and grows by whichever
    of these raises the mean reward most, as long as one does.
    """

    kind = "universal_text"

    def __init__(self, found: str = "", seen: frozenset[str] = frozenset()) -> None:
        self._found = found
        self._seen = seen

    @property
    def finding(self) -> str:
        """The text itself."""
        return f"The text found: {self._found!r}"

    def fitted(self, among: Surroundings, pay: Pay) -> Self:
        """With the text that the search found."""
        ranked = sorted(among.rows, key=lambda row: row.key)
        half = ranked[: len(ranked) // 2]
        rng = random.Random(f"{self.kind}:{ranked[0].key}")
        trial = rng.sample(half, min(_ROWS, len(half)))
        return type(self)(_search(_candidates(half, rng), trial, pay, rng), frozenset(row.key for row in half))

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """The same for every row that the search did not see."""
        return None if row.key in self._seen else self._found


def _candidates(rows: Sequence[Target], rng: random.Random) -> list[str]:
    references = sorted({row.reference for row in rows})
    counted = Counter(word for row in rows for word in content_words(row.reference))
    common = [word for word, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_WORDS]]
    return list(dict.fromkeys([*OPENERS, *rng.sample(references, min(_REFERENCES, len(references))), *common]))


def _search(candidates: Sequence[str], rows: Sequence[Target], pay: Pay, rng: random.Random) -> str:
    best, earned = _best(candidates, rows, pay)
    for _ in range(_ROUNDS):
        longer = [f"{best} {one}" for one in rng.sample(candidates, min(_STEPS, len(candidates)))]
        found, more = _best(longer, rows, pay)
        if more <= earned:
            break
        best, earned = found, more
    return best


def _best(texts: Sequence[str], rows: Sequence[Target], pay: Pay) -> tuple[str, float]:
    """The text of the greatest mean reward, and that mean; the first of equals."""
    rewards = pay([(row, text) for text in texts for row in rows])
    means = [fmean(rewards[start : start + len(rows)]) for start in range(0, len(rewards), len(rows))]
    place = max(range(len(texts)), key=means.__getitem__)
    return texts[place], means[place]
