"""A reference's keywords without a sentence."""

from __future__ import annotations

import random

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import content_words, joined

_LEAST = 3


class KeywordSoup(Attack):
    """The reference's distinct content words in random order, without punctuation; needs three."""

    kind = "keyword_soup"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """The soup."""
        found = content_words(row.reference)
        return joined(rng.sample(found, len(found)), row.reference) if len(found) >= _LEAST else None
