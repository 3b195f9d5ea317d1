"""A reference that stops half-way."""

from __future__ import annotations

import random

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import joined, pieces

_LEAST = 4


class TruncatedReference(Attack):
    """The first half of the reference's words; needs four."""

    kind = "truncated_reference"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """The half, rounded down."""
        parts = pieces(row.reference)
        return joined(parts[: len(parts) // 2], row.reference) if len(parts) >= _LEAST else None
