"""A reference in disorder."""

from __future__ import annotations

import random

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import joined, pieces

_TRIES = 10


class ShuffledWords(Attack):
    """The reference's words in random order; needs three, and an order that is another one."""

    kind = "shuffled_words"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """The words, shuffled."""
        parts = pieces(row.reference)
        if len(parts) < 3:
            return None
        orders = (rng.sample(parts, len(parts)) for _ in range(_TRIES))
        return next((joined(order, row.reference) for order in orders if order != parts), None)
