"""Gates: what a card must keep to, for CI."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pgsrm_plugin.audit.attacks import KINDS
from pgsrm_plugin.audit.card import AttackResult, Card
from pgsrm_plugin.errors import DataError, did_you_mean

_OF_AN_ATTACK: Mapping[str, Callable[[AttackResult], float | None]] = {
    "max_success": lambda one: one.success.value,
    "max_mean": lambda one: one.mean,
    "min_auc": lambda one: one.auc,
}
"""Of the worst attack, or of the one that follows after a dot."""
_OF_THE_CARD: Mapping[str, Callable[[Card], float | None]] = {
    "max_length_correlation": lambda card: None if card.length_within is None else abs(card.length_within),
    "max_truncated": lambda card: card.good_truncated.value,
    "max_unscorable": lambda card: card.good_unscorable.value,
    "max_unknown": lambda card: card.good_unknown,
    "max_unpaid": lambda card: card.unpaid.value,
    "max_noise": lambda card: card.noise_share,
    "max_damage": lambda card: max((one.fires.value or 0.0 for one in card.damage.values()), default=0.0),
}


@dataclass(frozen=True)
class Limit:
    """The greatest (``max_...``) or least (``min_...``) value that is allowed."""

    name: str
    value: float

    def failure(self, card: Card) -> str | None:
        """Why the card does not keep to it, or None.

        Raises:
            DataError: the card does not have the value.
        """
        found = _value(self.name, card)
        if found is None:
            raise DataError(f"--gate {self.name}: this audit could not measure it (no row allowed it)")
        if found > self.value if self.name.startswith("max_") else found < self.value:
            return f"{self.name} is {found:.4g}, and the gate allows {self.value:g}"
        return None


def parse_limits(given: Sequence[str]) -> list[Limit]:
    """The gates of a command line, ``NAME=VALUE`` each.

    Raises:
        DataError: one has no such form, or a name that there is not.
    """
    return [_limit(one) for one in given]


def limit_names() -> list[str]:
    """All names that a gate can have."""
    each = [f"{name}.{kind}" for name in _OF_AN_ATTACK for kind in KINDS]
    return [*_OF_AN_ATTACK, *_OF_THE_CARD, *each]


def _limit(text: str) -> Limit:
    name, equals, value = (part.strip() for part in text.partition("="))
    known = limit_names()
    if name not in known:
        heads = ", ".join([*_OF_AN_ATTACK, *_OF_THE_CARD])
        raise DataError(
            f"--gate: there is no {name!r}{did_you_mean(name, known)} (known: {heads}; .ATTACK after the first 3)"
        )
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not equals or not math.isfinite(number):
        raise DataError(f"--gate {text!r} must be {name}=NUMBER")
    return Limit(name, number)


def _value(name: str, card: Card) -> float | None:
    if name in _OF_THE_CARD:
        return _OF_THE_CARD[name](card)
    head, _, kind = name.partition(".")
    values = [_OF_AN_ATTACK[head](one) for one in card.attacks if kind in ("", one.kind)]
    there = [one for one in values if one is not None]
    return (max if head.startswith("max_") else min)(there, default=None)
