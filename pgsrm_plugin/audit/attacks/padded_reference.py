"""A reference drowned in other sentences."""

from __future__ import annotations

import random

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import filler, pieces

_LEAST = 60


class PaddedReference(Attack):
    """The reference, then sentences that have to do with nothing: three times its length, 60 words at least."""

    kind = "padded_reference"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str:
        """Reference and padding."""
        return f"{row.reference} {filler(rng, max(_LEAST, 3 * len(pieces(row.reference))))}"
