"""Texts that fool judges: openers and punctuation."""

from __future__ import annotations

import random

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.terms.judge.openers import OPENERS


class MasterKey(Attack):
    """An opener or a punctuation mark that fools judges ("Solution", ":", "解"), in several languages; one a row."""

    kind = "master_key"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str:
        """One of the keys."""
        return rng.choice(OPENERS)
