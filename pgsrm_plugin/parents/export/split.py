"""Train and validation sides by hash: the same rows always, and no prompt (nor item) on both sides."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.text.clean import normalise_space, prompt_text
from pgsrm_plugin.types import Prompt

BY = ("prompt", "item")


def parse_split(text: str) -> dict[str, float]:
    """``train=0.9,val=0.1`` as names with their shares, which add up to 1.

    Raises:
        SpecError: it is not of this form.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (word.strip() for word in part.partition("="))
        try:
            value = float(share)
        except ValueError:
            value = math.nan
        if not name.replace("_", "").replace("-", "").isalnum() or not 0 < value <= 1:
            raise SpecError(f"--split {text}: {part.strip()!r} is not name=share; write e.g. train=0.9,val=0.1")
        if name in shares:
            raise SpecError(f"--split {text}: {name!r} is there twice")
        shares[name] = value
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise SpecError(f"--split {text}: the shares add up to {sum(shares.values()):g}, not 1")
    return shares


def assign(rows: Sequence[tuple[Prompt, str]], shares: dict[str, float], by: str = "prompt") -> list[str]:
    """The side of each row (prompt, item).

    A prompt's side depends on its text alone, white space and case aside; it stays the same when rows are added.
    ``by="item"``: rows that share a prompt or an item, directly or through others, go together, to the side that the
    least name among them says; a row without an item counts by its prompt.
    """
    prompts = [f"prompt:{normalise_space(prompt_text(prompt)).casefold()}" for prompt, _ in rows]
    if by == "prompt":
        return [side(prompt, shares) for prompt in prompts]
    items = [f"item:{item}" if item else prompt for prompt, (_, item) in zip(prompts, rows, strict=True)]
    groups = _Groups()
    for prompt, item in zip(prompts, items, strict=True):
        groups.join(prompt, item)
    return [side(groups.find(item), shares) for item in items]


def side(name: str, shares: dict[str, float]) -> str:
    """The side of a name: where the first 52 bits of its SHA-256, as a number in [0, 1), fall among the shares."""
    place = int(hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:13], 16) / 16**13
    upto = 0.0
    for own, share in shares.items():
        upto += share
        if place < upto:
            return own
    return list(shares)[-1]


def empty_sides(sides: Iterable[str], shares: dict[str, float]) -> list[str]:
    """The sides that no row fell to."""
    used = set(sides)
    return [name for name in shares if name not in used]


class _Groups:
    """Disjoint sets of names; the least name stands for its set."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def find(self, name: str) -> str:
        self._above.setdefault(name, name)
        while self._above[name] != name:
            self._above[name] = self._above[self._above[name]]
            name = self._above[name]
        return name

    def join(self, one: str, other: str) -> None:
        first, second = sorted((self.find(one), self.find(other)))
        self._above[second] = first
