"""The prompt, given back."""

from __future__ import annotations

import random

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target


class PromptEcho(Attack):
    """The prompt as its own answer; of chat messages, the user's last one."""

    kind = "prompt_echo"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """The prompt, if there is one."""
        return row.asked.strip() or None
