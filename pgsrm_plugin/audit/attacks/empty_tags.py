"""The form of an answer without an answer."""

from __future__ import annotations

import random

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target

_PLAIN = "<answer></answer>"


class EmptyTags(Attack):
    """The tags that the spec asks for with nothing in them; where it asks for none, an empty answer tag."""

    kind = "empty_tags"
    is_whole = True

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str:
        """The same for every row."""
        return among.form.empty.strip() or _PLAIN
