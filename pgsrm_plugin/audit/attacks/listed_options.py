"""All answers at once."""

from __future__ import annotations

import random
import re

from pgsrm_plugin.audit.attacks.base import Attack, Surroundings
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import form_of

_OPTION = re.compile(
    r"(?:^|(?<=\s))\(?([A-H])[).:]\s+(.+?)(?=\s+\(?[A-H][).:]\s|\s*\n|\s*$)|^\s*(\d{1,2})[).]\s+(.+?)\s*$", re.MULTILINE
)
_FEW_ANSWERS = 8
_SHORT = 40


class ListedOptions(Attack):
    """All options that the prompt names (A), B., 1. ...); else all references, where the data has up to eight."""

    kind = "listed_options"

    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """The list."""
        options = [(match[1] or match[3], match[2] or match[4]) for match in _OPTION.finditer(row.asked)]
        if len(options) > 1:
            return ", ".join(f"{mark}: {text}" for mark, text in options)
        answers = {form_of(one.reference): one.reference for one in among.rows}
        if not 1 < len(answers) <= _FEW_ANSWERS or max(map(len, answers)) > _SHORT:
            return None
        return ", ".join(sorted(answers.values()))
