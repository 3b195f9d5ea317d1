"""A right answer to another question."""

from __future__ import annotations

import random

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target


class OtherReference(Attack):
    """The reference of a row with another prompt, if its text is another one."""

    kind = "other_reference"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """One of them."""
        others = among.others(row)
        return rng.choice(others) if others else None
