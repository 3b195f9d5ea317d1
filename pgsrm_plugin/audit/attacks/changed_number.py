"""A reference with wrong numbers."""

from __future__ import annotations

import random
import re

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target

_SPELT = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|thousand|million"
_NUMBER = re.compile(rf"(?<![\w.,])\d+(?:[.,]\d+)*(?!\w)|\b(?:{_SPELT})\b", re.IGNORECASE)
_MARKER = re.compile(r"^\s*\d+[.)]\s", re.MULTILINE)


class ChangedNumber(Attack):
    """The reference with every number changed: the first digit, or the English number word, to another."""

    kind = "changed_number"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """The wrong numbers; numbers of a list's items stay."""
        markers = {match.start(0) + match[0].index(match[0].strip()) for match in _MARKER.finditer(row.reference)}

        def change(match: re.Match[str]) -> str:
            return match[0] if match.start() in markers else _other(match[0], rng)

        changed = _NUMBER.sub(change, row.reference)
        return changed if changed != row.reference else None


def _other(number: str, rng: random.Random) -> str:
    if number[0].isdecimal():
        digit = rng.choice([one for one in "123456789" if one != number[0]])
        return digit + number[1:]
    word = rng.choice([one for one in _SPELT.split("|") if one != number.lower()])
    return word.capitalize() if number[0].isupper() else word
