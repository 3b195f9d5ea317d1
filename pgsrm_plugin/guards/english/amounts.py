"""The amounts in a sentence: digits and words, fractions, ordinals, clock times, with units on one scale."""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass


def _numbered(text: str, first: int, step: int = 1) -> dict[str, int]:
    return {word: first + step * i for i, word in enumerate(text.split())}


_SMALL = _numbered(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen""",
    0,
)
_TENS = _numbered("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
_ORDINALS = _numbered(
    """fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth
    eighteenth nineteenth twentieth""",
    5,
)
"""From the fifth on: "first" and "second" are rarely amounts."""
_BIG = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "dozen": 12.0}
_PARTS = {"half": 1 / 2, "halves": 1 / 2, "third": 1 / 3, "thirds": 1 / 3, "quarter": 1 / 4, "quarters": 1 / 4,
          "fifths": 1 / 5, "eighth": 1 / 8, "eighths": 1 / 8, "tenths": 1 / 10}  # fmt: skip
_TIMES = {"twice": 2.0, "double": 2.0, "doubled": 2.0, "doubles": 2.0, "thrice": 3.0, "triple": 3.0, "tripled": 3.0}
_SCALES: dict[str, dict[float, str]] = {
    "time": {
        1: "second seconds sec secs",
        60: "minute minutes min mins",
        3600: "hour hours h hr hrs",
        86_400: "day days",
        604_800: "week weeks",
        1_209_600: "fortnight",
        2_629_800: "month months",
        31_557_600: "year years",
        315_576_000: "decade decades",
        3_155_760_000: "century centuries",
    },
    "mass": {
        1e-3: "mg milligram milligrams",
        1: "g gram grams",
        1e3: "kg kilogram kilograms kilo kilos",
        1e6: "tonne tonnes",
    },
    "volume": {
        1e-3: "ml millilitre millilitres milliliter milliliters",
        1: "l litre litres liter liters",
    },
    "distance": {
        1e-3: "mm millimetre millimetres millimeter millimeters",
        1e-2: "cm centimetre centimetres centimeter centimeters",
        1: "m metre metres meter meters",
        1e3: "km kilometre kilometres kilometer kilometers",
    },
    "share": {1e-2: "% percent pct"},
    "money": {1e-2: "cents cent", 1: "euro euros dollar dollars pounds"},
}
"""Names of units by what they measure, and how many of its unit one is."""
_UNITS = {
    name: (scale, dimension)
    for dimension, lines in _SCALES.items()
    for scale, names in lines.items()
    for name in names.split()
}
_TOKEN = re.compile(r"\d+(?:\.\d+)?(?::\d\d)?|[a-z]+|[%€$£/-]|\S")
_NEAR = 0.015
"""Amounts of one dimension that differ by less are rounded ones: 30 days are a month."""


@dataclass(frozen=True)
class Amount:
    """A number as written, what it measures ("" for a bare one), and how much that is in the dimension's unit."""

    number: float
    dimension: str
    scaled: float
    text: str

    def fits(self, other: Amount) -> bool:
        """Whether both may say the same."""
        if self.dimension and self.dimension == other.dimension:
            return _close(self.scaled, other.scaled, _NEAR)
        if {self.dimension, other.dimension} == {"share", ""}:
            share, plain = (self, other) if self.dimension else (other, self)
            return abs(share.scaled - plain.number) <= 0.02 or _close(share.number, plain.number, 1e-6)
        return _close(self.number, other.number, 1e-6)


@functools.lru_cache(maxsize=65_536)
def amounts(text: str) -> tuple[Amount, ...]:
    """The amounts of a text, in order.

    >>> [(one.number, one.dimension, one.scaled) for one in amounts("Twenty-five of 1,200 g, half a litre at 10:30.")]
    [(25.0, '', 25.0), (1200.0, 'mass', 1200.0), (0.5, 'volume', 0.5), (10.3, 'clock', 10.3)]
    """
    tokens = _TOKEN.findall(_plain(text))
    found, i = [], 0
    while i < len(tokens):
        if ":" in tokens[i] and tokens[i][0].isdigit():
            clock = float(tokens[i].replace(":", "."))
            found.append(Amount(clock, "clock", clock, tokens[i]))
            i += 1
            continue
        value, end = _value(tokens, i)
        if value is None:
            i += 1
            continue
        while end < len(tokens) and tokens[end] in _BIG:
            value *= _BIG[tokens[end]]
            end += 1
        at = next(
            (k for k in range(end, min(end + 4, len(tokens))) if tokens[k] not in ("a", "an", "of", "full", "-")), end
        )
        scale, dimension = _UNITS.get(tokens[at], (1.0, "")) if at < len(tokens) else (1.0, "")
        if dimension:
            end = at + 1
        elif i > 0 and tokens[i - 1] in "€$£":
            dimension = "money"
        found.append(Amount(value, dimension, value * scale, " ".join(tokens[i:end])))
        i = max(end, i + 1)
    return tuple(found)


def unmatched(response: str, reference: str) -> tuple[list[Amount], list[Amount]]:
    """The amounts of each text that the other one has not."""
    said, expected = amounts(response), amounts(reference)
    return (
        [one for one in said if not any(one.fits(other) for other in expected)],
        [one for one in expected if not any(one.fits(other) for other in said)],
    )


def _close(a: float, b: float, share: float) -> bool:
    return abs(a - b) <= share * max(abs(a), abs(b), 1e-12)


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower().replace("\u2212", "-").replace("\u2044", "/")
    while (shorter := re.sub(r"(\d),(\d{3})\b", r"\1\2", text)) != text:
        text = shorter
    text = re.sub(r"(?<![\w)])-(?=\d)", "minus ", text)
    text = re.sub(r"\b(\d{1,2})(?:st|nd|rd|th)\b", r"\1", text.replace("per cent", "percent"))
    text = re.sub(r"\b(\d{1,2})\.(\d{2})(?= ?(?:am|pm)\b)", r"\1:\2", text)
    return re.sub(r"(?<=\d)(?=(?:mg|kg|ml|km|cm|mm|g|l|m|h)\b)", " ", text)


def _value(tokens: list[str], i: int) -> tuple[float | None, int]:
    """The number that begins at a token, and where it ends."""
    token, end = tokens[i], i + 1
    following = tokens[end] if end < len(tokens) else ""
    if token[0].isdigit():
        if following == "/" and end + 1 < len(tokens) and tokens[end + 1].isdigit() and float(tokens[end + 1]) > 0:
            return float(token) / float(tokens[end + 1]), end + 2
        return (-float(token) if i > 0 and tokens[i - 1] == "minus" else float(token)), end
    if token in _SMALL or token in _TENS:
        value = float(_SMALL.get(token, _TENS.get(token, 0)))
        if token in _TENS and following == "-" and end + 1 < len(tokens) and tokens[end + 1] in _SMALL:
            value, end = value + _SMALL[tokens[end + 1]], end + 2
        elif token in _TENS and 0 < _SMALL.get(following, 0) < 10:
            value, end = value + _SMALL[following], end + 1
        after = tokens[end] if end < len(tokens) else ""
        if after == "-" and end + 1 < len(tokens) and tokens[end + 1] in _PARTS:
            return value * _PARTS[tokens[end + 1]], end + 2
        if after in _PARTS:
            return value * _PARTS[after], end + 1
        counts = token != "one" or after in _BIG or after in _UNITS
        return (value, end) if counts else (None, end)
    if token == "once" and following in ("a", "an", "per", "every", "each"):
        return 1.0, end
    if token in ("half", "quarter"):
        return _PARTS[token], end
    if token == "third" and i > 0 and tokens[i - 1] == "a":
        return _PARTS[token], end
    if token in _TIMES:
        return _TIMES[token], end
    if token in _ORDINALS:
        return float(_ORDINALS[token]), end
    if token in _BIG and i > 0 and tokens[i - 1] == "a":
        return 1.0, i
    return None, end
