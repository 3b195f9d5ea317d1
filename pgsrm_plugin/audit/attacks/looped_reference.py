"""A reference that does not stop."""

from __future__ import annotations

import random

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target

_TIMES = 5


class LoopedReference(Attack):
    """The reference, five times."""

    kind = "looped_reference"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str:
        """The loop."""
        return " ".join([row.reference] * _TIMES)
