"""The amounts in a sentence: digits and words, fractions, ordinals, clock times, with units on one scale."""

from __future__ import annotations

import functools
import itertools
import math
import re
import unicodedata
from collections.abc import Sequence
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
_VAGUE = (["few"], ["several"], ["couple"], ["many"])
"""What makes no amount of the big number after it."""
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
        28.35: "ounce ounces oz",
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
        0.0254: "inch inches",
        0.3048: "foot feet ft",
        0.9144: "yard yards",
        1609.344: "mile miles",
    },
    "data": {
        1: "byte bytes",
        1024: "kb kib kilobyte kilobytes",
        1024**2: "mb mib megabyte megabytes",
        1024**3: "gb gib gigabyte gigabytes",
    },
    "share": {1e-2: "% percent pct"},
    "degrees": {1: "° degree degrees"},
    "money": {1e-2: "cents cent", 1: "euro euros dollar dollars pounds"},
}
"""Names of units by what they measure, and how many of its unit one is."""
_UNITS = {
    name: (scale, dimension)
    for dimension, lines in _SCALES.items()
    for scale, names in lines.items()
    for name in names.split()
}
_OFTEN = {"hourly": 3600, "daily": 86_400, "weekly": 604_800, "monthly": 2_629_800, "yearly": 31_557_600,
          "annually": 31_557_600}  # fmt: skip
"""How many seconds lie between two times."""
_MONTHS = _numbered("january february march april may june july august september october november december", 1)
_DAYS = _numbered("monday tuesday wednesday thursday friday saturday sunday", 1)
_CLOCKS = frozenset(["clock", "time of day"])
"""Hours of twelve, and of twenty-four."""
_COMPOUND = frozenset(["time", "mass", "volume", "distance"])
"""What is said in two units at once."""
_EVERY = ("a", "an", "per", "every", "each")
_TOKEN = re.compile(r"\d+(?:\.\d+)?(?::\d\d)?|[a-z]+|[%€$£°/-]|\S")
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
        if _CLOCKS & {self.dimension, other.dimension}:
            return self._is_same_hour(other)
        if self.dimension and self.dimension == other.dimension:
            return _close(self.scaled, other.scaled, _NEAR)
        if {self.dimension, other.dimension} == {"rate", "time"}:  # once a year, twelve months
            return _close(self.scaled * other.scaled, 1.0, _NEAR)
        if {self.dimension, other.dimension} == {"share", ""}:
            share, plain = (self, other) if self.dimension else (other, self)
            return abs(share.scaled - plain.number) <= 0.02 or _close(share.number, plain.number, 1e-6)
        return _close(self.number, other.number, 1e-6)

    def _is_same_hour(self, other: Amount) -> bool:
        """A clock's hours count to twelve, unless both texts say which half of the day; a bare number is full hours."""
        if not {self.dimension, other.dimension} <= _CLOCKS | {""}:
            return False
        apart = abs(self.scaled - other.scaled)
        both_told = self.dimension == other.dimension == "time of day"
        return apart < 1e-6 or (abs(apart - 12) < 1e-6 and not both_told)


@functools.lru_cache(maxsize=65_536)
def amounts(text: str) -> tuple[Amount, ...]:
    """The amounts of a text, in order.

    >>> [(one.number, one.dimension, one.scaled) for one in amounts("Twenty-five of 1,200 g, half a litre at 10:30.")]
    [(25.0, '', 25.0), (1200.0, 'mass', 1200.0), (0.5, 'volume', 0.5), (10.5, 'clock', 10.5)]
    """
    tokens = _TOKEN.findall(_plain(text))
    found: list[Amount] = []
    i = last = 0
    while i < len(tokens):
        one, end = _date(tokens, i) or _clock(tokens, i) or _rate(tokens, i) or _amount(tokens, i) or (None, i + 1)
        if one is not None and found and _continues(found[-1], one, tokens[last:i]):
            one = _together(found.pop(), one)
        if one is not None:
            found.append(one)
            last = max(end, i + 1)
        i = max(end, i + 1)
    return tuple(found)


def _continues(one: Amount, other: Amount, between: Sequence[str]) -> bool:
    """Whether the second amount goes on with the first: "an hour and twenty minutes", "5 kg 200 g"."""
    joined = not between or tuple(between) in (("and",), (",",))
    return joined and one.dimension in _COMPOUND and one.dimension == other.dimension and other.scaled < one.scaled


def _together(one: Amount, other: Amount) -> Amount:
    unit = one.scaled / one.number if one.number else 1.0
    scaled = one.scaled + other.scaled
    return Amount(scaled / unit, one.dimension, scaled, f"{one.text} {other.text}")


def _date(tokens: list[str], i: int) -> tuple[Amount, int] | None:
    """A month, or a day of the week; "may" and "march" beside a number, or after "in"."""
    name = tokens[i]
    if name in _MONTHS:
        beside = [*tokens[max(0, i - 2) : i], *tokens[i + 1 : i + 2]]
        if name in ("may", "march") and not any(one[0].isdigit() for one in beside) and tokens[i - 1 : i] != ["in"]:
            return None
        return Amount(_MONTHS[name], "month", _MONTHS[name], name), i + 1
    day = name.removesuffix("s")
    return (Amount(math.nan, "weekday", _DAYS[day], name), i + 1) if day in _DAYS else None


def _clock(tokens: list[str], i: int) -> tuple[Amount, int] | None:
    """A time of day: 10:30, 5 pm, six o'clock, half past seven, noon; in hours."""
    rest = tokens[i + 1 : i + 5]
    hours, end = None, i + 1
    if tokens[i] in ("noon", "midnight"):
        hours = 12.0 if tokens[i] == "noon" else 0.0
    elif ":" in tokens[i] and tokens[i][0].isdigit():
        whole, minutes = tokens[i].split(":")
        hours = int(whole) + int(minutes) / 60
    elif tokens[i] in ("half", "quarter") and len(rest) > 1 and rest[0] in ("past", "to"):
        hour, end = _value(tokens, i + 2)
        part = _PARTS[tokens[i]]
        hours = None if hour is None else hour + (part if rest[0] == "past" else -part)
    elif rest and (rest[0] in ("am", "pm", "o") or rest[:3] == ["in", "the", "afternoon"]):
        hours, end = _value(tokens, i)
    if hours is None or not 0 <= hours <= 24:
        return None
    half = next((word for word in tokens[end : end + 3] if word in ("am", "pm", "afternoon", "evening")), "")
    if half and half != "am" and hours < 12:
        hours += 12
    end += tokens[end : end + 1] in (["am"], ["pm"])
    dimension = "time of day" if half or hours > 12 else "clock"
    return Amount(hours, dimension, hours, " ".join(tokens[i:end])), end


def _rate(tokens: list[str], i: int) -> tuple[Amount, int] | None:
    """How often: twice a day, four times a year, every three months, weekly; in times a second."""
    if tokens[i] in _OFTEN:
        return Amount(1.0, "rate", 1 / _OFTEN[tokens[i]], tokens[i]), i + 1
    if tokens[i] == "every" and i + 1 < len(tokens):
        number, end = _value(tokens, i + 1)
        if number is None and tokens[i + 1] == "other":
            number, end = 2.0, i + 2
        number, end = (1.0, i + 1) if number is None else (number, end)
        scale, dimension = _unit(tokens, end)
        if dimension != "time" or not number:
            return None
        return Amount(number, "rate", 1 / (number * scale), " ".join(tokens[i : end + 1])), end + 1
    number, end = (1.0, i + 1) if tokens[i] == "once" else _value(tokens, i)
    end += tokens[end : end + 1] == ["times"]
    if number is None or tokens[end : end + 1] == [] or tokens[end] not in _EVERY or tokens[end - 1] in _UNITS:
        return None
    scale, dimension = _unit(tokens, end + 1)
    if dimension != "time" or not (tokens[end - 1] == "times" or tokens[i] in ("once", *_TIMES)):
        return None
    return Amount(number, "rate", number / scale, " ".join(tokens[i : end + 2])), end + 2


def _amount(tokens: list[str], i: int) -> tuple[Amount, int] | None:
    """Any other number, with its unit."""
    value, end = _value(tokens, i)
    if value is None:
        return None
    if i > 0 and tokens[i - 1] == "in" and tokens[i] in ("half", "two") and not _unit(tokens, end)[1]:  # cut in half
        return None
    while end < len(tokens) and tokens[end] in _BIG:
        value *= _BIG[tokens[end]]
        end += 1
    value, end = _with_rest(tokens, value, end)
    at = next(
        (k for k in range(end, min(end + 4, len(tokens))) if tokens[k] not in ("a", "an", "of", "full", "-")), end
    )
    scale, dimension = _unit(tokens, at)
    if dimension:
        end = at + 1
        if tokens[end : end + 3] == ["and", "a", "half"]:  # a year and a half
            value, end = value + 0.5, end + 3
    elif i > 0 and tokens[i - 1] in "€$£":
        dimension = "money"
    return Amount(value, dimension, value * scale, " ".join(tokens[i:end])), end


def _with_rest(tokens: list[str], value: float, end: int) -> tuple[float, int]:
    """ "Two hundred" and what "and six" adds to it."""
    while end > 0 and tokens[end - 1] in _BIG and end < len(tokens):
        at = end + (tokens[end] == "and")
        if at >= len(tokens) or (tokens[at] not in _SMALL and tokens[at] not in _TENS):
            break
        rest, after = _value(tokens, at)
        if rest is None or rest >= _BIG[tokens[end - 1]]:
            break
        while after < len(tokens) and tokens[after] in _BIG and _BIG[tokens[after]] < _BIG[tokens[end - 1]]:
            rest, after = rest * _BIG[tokens[after]], after + 1
        value, end = value + rest, after
    return value, end


def _unit(tokens: list[str], at: int) -> tuple[float, str]:
    return _UNITS.get(tokens[at], (1.0, "")) if at < len(tokens) else (1.0, "")


def unmatched(said: Sequence[Amount], expected: Sequence[Amount]) -> tuple[list[Amount], list[Amount]]:
    """The amounts on each side that the other one has not.

    One amount of the response stands for one of the reference's, so that the 11 of "11 November" is not "11 am" as
    well; what the response says twice has not to be there twice.
    """
    added = [one for one in said if not any(one.fits(other) for other in expected)]
    free, missing = list(said), []
    different = {(one.dimension, one.number, one.scaled): one for one in expected}
    for one in sorted(different.values(), key=lambda one: not one.dimension):
        fitting = [other for other in free if one.fits(other)]
        if fitting:
            free.remove(min(fitting, key=lambda other: other.dimension != one.dimension))
        else:
            missing.append(one)
    return added, missing


def _close(a: float, b: float, share: float) -> bool:
    return abs(a - b) <= share * max(abs(a), abs(b), 1e-12)


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower().replace("\u2212", "-").replace("\u2044", "/")
    text = re.sub(r"\b([ap])\.m\.", r"\1m", text)
    text = re.sub(r"(?<=\d)(?=[ap]m\b)", " ", text)
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
    if token in ("a", "an") and following in _UNITS and tokens[end + 1 : end + 2] == ["and"]:
        more = tokens[end + 2 : end + 4]  # "a year and a half", "an hour and twenty minutes"
        if more == ["a", "half"] or (more and (more[0][0].isdigit() or more[0] in _SMALL or more[0] in _TENS)):
            return 1.0, end
    if token[0].isdigit() or token == "one":
        chance = _chance(tokens, end)
        if chance is not None:
            return float(_SMALL.get(token, 0) or token) / chance[0], chance[1]
    if token[0].isdigit() and ":" not in token:
        if following == "/" and end + 1 < len(tokens) and tokens[end + 1].isdigit() and float(tokens[end + 1]) > 0:
            return float(token) / float(tokens[end + 1]), end + 2
        return (-float(token) if i > 0 and tokens[i - 1] == "minus" else float(token)), end
    if token in _BIG and tokens[i - 1 : i] not in _VAGUE:  # "a hundred"
        return _BIG[token], end
    if following in _ORDINALS and (token == "one" or (token == "a" and tokens[end + 1 : end + 2] == ["of"])):
        return 1 / _ORDINALS[following], end + 1
    if token == "half":
        apart = len(list(itertools.takewhile(("a", "-").__contains__, tokens[end : end + 2])))
        if tokens[end + apart : end + apart + 1] == ["dozen"]:
            return 6.0, end + apart + 1
    if 13 <= _SMALL.get(token, _TENS.get(token, 0)) <= 20 and (following in _TENS or _SMALL.get(following, 0) > 9):
        rest, stop = _value(tokens, end)  # "nineteen eighty-six"
        if rest is not None and rest < 100:
            return 100.0 * _SMALL.get(token, 20) + rest, stop
    if token in _SMALL or token in _TENS:
        value = float(_SMALL.get(token, _TENS.get(token, 0)))
        if value > 1 and _PARTS.get(following) == 1 / value:  # two halves are one thing
            return None, end + 1
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


def _chance(tokens: list[str], at: int) -> tuple[float, int] | None:
    """What "in 36" and "out of 36" after a number divide it by, and where that ends."""
    if "in" in tokens[at : at + 2]:
        at = tokens.index("in", at) + 1
    elif (place := next((k for k in range(at, at + 3) if tokens[k : k + 2] == ["out", "of"]), None)) is not None:
        at = place + 2
    else:
        return None
    if at >= len(tokens) or not (tokens[at] in _SMALL or tokens[at] in _TENS or tokens[at].isdigit()):
        return None
    whole, end = _value(tokens, at)
    return (whole, end) if whole is not None and 1 < whole <= 1000 and _unit(tokens, end)[1] == "" else None
