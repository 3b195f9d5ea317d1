"""A reference that turns into junk."""

from __future__ import annotations

import random

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import FILLER, joined, pieces

_LEAST = 3
_TAIL = 6


class PrefixJunk(Attack):
    """The first third of the reference's words, then random words up to its length, six at least; needs three."""

    kind = "prefix_junk"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """Prefix and junk."""
        parts = pieces(row.reference)
        if len(parts) < _LEAST:
            return None
        kept = parts[: len(parts) // 3]
        pool = " ".join(FILLER).lower().replace(".", "").split()
        junk = [rng.choice(pool) for _ in range(max(_TAIL, len(parts) - len(kept)))]
        return f"{joined(kept, row.reference)} {' '.join(junk)}"
