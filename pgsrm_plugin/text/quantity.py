"""Numbers as people write them: any digits, thousands, fractions, percent, currencies, units, LaTeX."""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pgsrm_plugin.text.clean import normalise_space

MAX_CHARS = 200
"""What is longer is no number that somebody wrote."""
_MAX_DIGITS = 64
_CURRENCY = "$€£¥₹₩₽₺₫₱₦₴฿"
_MONEY = {
    **{sign: sign for sign in _CURRENCY},
    "usd": "$",
    "us$": "$",
    "dollar": "$",
    "dollars": "$",
    "eur": "€",
    "euro": "€",
    "euros": "€",
    "gbp": "£",
    "pound": "£",
    "pounds": "£",
    "jpy": "¥",
    "yen": "¥",
    "円": "¥",
    "元": "¥",
    "cny": "¥",
    "yuan": "¥",
    "rupee": "₹",
    "rupees": "₹",
    "inr": "₹",
    "won": "₩",
    "원": "₩",
}
_MAGNITUDE = {
    "k": 3,
    "thousand": 3,
    "million": 6,
    "mn": 6,
    "billion": 9,
    "bn": 9,
    "trillion": 12,
    "万": 4,
    "億": 8,
    "亿": 8,
}
_NO_UNITS = frozenset({"a", "an", "as", "at", "in", "per", "to"})
"""Words that pint reads as units, and people do not."""
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_FOLDED = str.maketrans("−‐‑–﹣－٫٬٪％⁄∕’＄￥", "------.,%%//'$¥")
"""Signs of other scripts and widths."""
_DIGITS = r"""(?:
    \d{1,3}(?:,\d{3})+(?:\.\d+)?          # 1,000.5
  | \d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?    # 12,34,567 (India)
  | \d{1,3}(?:[ ']\d{3})+(?:[.,]\d+)?     # 1 000,5 and 1'000.5
  | \d{1,3}(?:\.\d{3})+,\d+               # 1.000,5
  | \d{1,3}(?:\.\d{3}){2,}                # 1.000.000
  | \d+(?:\.\d*)?
  | \.\d+
)(?![,.']?\d)"""
_NUMBER = re.compile(
    rf"""
    (?P<sign>[+-]?)\s?
    (?:(?P<money>US\$|[{_CURRENCY}]|\b(?:USD|EUR|GBP|JPY|CNY|INR))\s?(?P<inner>-?)\s?)?
    (?:(?P<whole>\d{{1,9}})\s(?P<part>\d{{1,4}})/(?P<parts>\d{{1,4}})(?!\d)
      |(?P<digits>{_DIGITS})
       (?:[eE](?P<exponent>[+-]?\d{{1,3}})(?!\w)|\s?[×x*]\s?10\s?\^\s?\{{?(?P<power>[+-]?\d{{1,3}})\}}?)?
       (?:\s?/\s?(?P<divisor>\d{{1,20}})(?!\.?\d))?)
    (?:\s?(?P<magnitude>thousand|million|billion|trillion|mn|bn)\b|(?P<short>[kK]\b|[万億亿]))?
    (?:\s?(?P<percent>%|percent\b|per\scent\b|pct\b))?
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_POWER = r"(?:[²³]|\^\d)?"
_UNIT = re.compile(rf"\s?([{_CURRENCY}]|[^\W\d_°]+{_POWER}(?:/[^\W\d_]+{_POWER})?|°\s?[CFK]?\b|°|)")
_OTHERS = re.compile(
    r"\b(?:or|and|is|isn't|are|not|minus|plus|times|to|than|but|wrong|more|less|fewer|below|above|half|dozen|hundred"
    r"|thousand(?:ths?)?|millionths?|lakh|crore|squared|cubed|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven"
    r"|twelve)\b",
    re.IGNORECASE,
)
"""Words beside a number that make it another one, or leave it open."""
_HEAD = re.compile(
    r"(?:[A-Za-z]\w{0,2}\s?=|≈|~|=|(?:about|around|approximately|approx\.?|roughly|exactly|only)\b)\s?", re.IGNORECASE
)
_FRACTION = re.compile(r"\\[dtc]?frac\s?(?:\{\s?(-?\d+)\s?\}|(\d))\s?(?:\{\s?(\d+)\s?\}|(\d))")
_SHELLS = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|operatorname|mbox|boxed|fbox)\s?\{([^{}]*)\}")
_GONE = re.compile(r"\\(?:left|right|displaystyle|bigl?|bigr?)(?![A-Za-z])|\*\*|__|`|\\!")
_GAPS = re.compile(r"\\[,;: ]|~|\\q?quad(?![A-Za-z])|[\u00a0\u2000-\u200a\u202f\u205f\u3000]")


@dataclass(frozen=True)
class Quantity:
    """A number with what stands around it.

    Attributes:
        value: exact, before a percent sign is looked at.
        percent: whether one stood there.
        unit: the word or sign beside it, a currency's under its sign; "" where there is none.
    """

    value: Fraction
    percent: bool = False
    unit: str = ""

    def equals(self, other: Quantity) -> bool:
        """Whether both say the same number.

        12 % is 0.12, and is 12 where only one of the two has the sign, as graders accept it. Units count where both
        have one that is known: 5 km is 5000 m and not 5 m, 20 °C is 68 °F, $5 is not €5; "5 apples" is 5.
        """
        fits = self.unit == other.unit or not (self.unit and other.unit)
        value = self.value if fits else _converted(self.value, self.unit, other.unit)
        if value is None:
            return False
        if self.percent != other.percent:
            percent, plain = (value, other.value) if self.percent else (other.value, value)
            return plain in (percent, percent / 100)
        return value == other.value


def parse_quantity(text: str) -> Quantity | None:
    """What a text says that is one number, or None.

    >>> parse_quantity("-$1,000.50").value, parse_quantity("\\\\frac{1}{2}").value, parse_quantity("３ km").unit
    (Fraction(-2001, 2), Fraction(1, 2), 'km')
    >>> parse_quantity("3,4"), parse_quantity("two of 5")
    (None, None)
    """
    if len(text) > 4 * MAX_CHARS:
        return None
    text = normalise_space(fold(text)).rstrip(".,;:!。 ")
    while len(text) > 2 and text[0] + text[-1] in ("()", "[]", "{}", '""', "''"):
        text = text[1:-1].strip()
    while found := _HEAD.match(text):
        text = text[found.end() :]
    match = _NUMBER.match(text) if len(text) <= MAX_CHARS else None
    if match is None:
        return None
    rest = text[match.end() :]
    unit = _UNIT.match(rest)
    assert unit is not None
    beyond = rest[unit.end() :].strip()
    if beyond and (not unit[1] or re.search(r"[\d\\^=+*/<>]", beyond)):
        return None
    if _OTHERS.search(rest):
        return None
    return _quantity(match, unit[1])


def find_quantities(text: str) -> list[str]:
    """The numbers in a text, in order, each as it is written, with its sign, currency, percent sign and unit.

    >>> find_quantities("It was $1,200 in 2019 and -5 % later; 3 km from no1.")
    ['$1,200', '2019', '-5 %', '3 km']
    """
    text = fold(text)
    found, position = [], 0
    while (start := _DIGIT.search(text, position)) is not None:
        match = _NUMBER.match(text, _beginning(text, start.start(), position))
        if match is None or match.end() <= start.start():
            position = _past_digits(text, start.end())
            found.append(text[start.start() : position].rstrip(".,'"))
            continue
        unit = _UNIT.match(text, match.end())
        assert unit is not None
        end = unit.end() if unit[1] and (unit[1].lower() in _MONEY or _is_unit(unit[1])) else match.end()
        found.append(text[match.start() : end].strip().rstrip("."))
        position = match.end()
    return found


def number_end(text: str, start: int, end: int) -> int:
    """Where the number ends that begins at ``start``; ``end`` where it is not longer than that.

    >>> number_end("5/2 = 2.5", 0, 1), number_end("72, which", 0, 3)
    (3, 3)
    """
    match = _NUMBER.match(text, start)
    return end if match is None else max(end, match.end())


def fold(text: str) -> str:
    """One way to write a number: ASCII digits and signs, fractions with "/", LaTeX without its shells.

    >>> fold("\\\\$1{,}000 \\\\text{ km}, ½ or 10³, ٣"), fold("-\\\\dfrac12")
    ('$1,000  km,  1/2 or 10^3, 3', '-1/2')
    """
    text = re.sub(r"([\d)\]}])([⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+)", lambda m: f"{m[1]}^{m[2].translate(_SUPERSCRIPTS)}", text)
    text = "".join(map(_plain, text.translate(_FOLDED)))
    text = text.replace("{,}", ",").replace("\\%", "%").replace("\\$", "\ue000")
    text = re.sub(r"\^\s?(?:\\circ|\{\s?\\circ\s?\})", "°", text)
    text = re.sub(r"\\(?:times|cdot)(?![A-Za-z])", "×", text)
    text = _GAPS.sub(" ", _GONE.sub("", text))
    for _ in range(4):
        text, shells = _SHELLS.subn(r"\1", text)
        if not shells:
            break
    text = _FRACTION.sub(_fraction, text)
    text = re.sub(r"(?<![\d)])(^|\s)(?:minus|negative)\s(?=\d)", r"\1-", text, flags=re.IGNORECASE)
    text = re.sub(r"\\[()\[\]]", "", text)
    # A dollar sign before a digit is money; in pairs around a formula it is LaTeX's.
    text = re.sub(r"\$([^$\n]*)\$(?!\d)", r"\1", text)
    return text.replace("\ue000", "$")


_DIGIT = re.compile(r"(?<![A-Za-z\d_])(?:\.?\d)|(?<=[^\x00-\x7f])\d", re.ASCII)


_SIGNED = re.compile(
    rf"(?:(?<![\w)])[+-]\s?)?(?:US\$|[{_CURRENCY}]|\b(?:USD|EUR|GBP|JPY|CNY|INR))\s?-?|(?<![\w)\].])[+-]$|(?<=[=:]\s)-\s$"
)
"""A sign, a currency or both; a sign apart from its number only after "=" and ":"."""


def _beginning(text: str, digit: int, least: int) -> int:
    """Where the number with this first digit begins: at its sign or currency."""
    window = max(least, digit - 8)
    for start in range(window, digit):
        match = _SIGNED.match(text, start, digit)
        if match and match.end() >= digit - 1 and not text[match.end() : digit].strip():
            return start
    return digit


def _past_digits(text: str, position: int) -> int:
    match = re.compile(r"[\d.,']*").match(text, position)
    assert match is not None
    return max(match.end(), position)


def _plain(char: str) -> str:
    if char.isascii():
        return char
    if (digit := unicodedata.decimal(char, None)) is not None:
        return str(digit)
    if unicodedata.decomposition(char).startswith("<fraction>"):
        return " " + unicodedata.normalize("NFKC", char).replace("⁄", "/")
    return char


def _fraction(match: re.Match[str]) -> str:
    before = match.string[: match.start()]
    gap = " " if before[-1:].isdigit() else ""
    return f"{gap}{match[1] or match[2]}/{match[3] or match[4]}"


def _quantity(match: re.Match[str], unit: str) -> Quantity | None:
    value = _value(match)
    if value is None:
        return None
    scale = _MAGNITUDE.get((match["magnitude"] or match["short"] or "").lower(), 0)
    value *= 10**scale
    negative = (match["sign"] == "-") != (match["inner"] == "-")
    money = _MONEY.get((match["money"] or "").lower(), "")
    unit = unit.strip()
    known = money or _MONEY.get(unit.lower(), "") or (unit if _is_unit(unit) else "")
    return Quantity(-value if negative else value, match["percent"] is not None, known)


def _value(match: re.Match[str]) -> Fraction | None:
    if match["whole"]:
        parts = int(match["parts"])
        return int(match["whole"]) + Fraction(int(match["part"]), parts) if parts else None
    digits = match["digits"]
    if len(digits) > _MAX_DIGITS:
        return None
    value = _decimal(digits) * Fraction(10) ** int(match["exponent"] or match["power"] or 0)
    divisor = int(match["divisor"] or 1)
    return value / divisor if divisor else None


def _decimal(digits: str) -> Fraction:
    digits = digits.replace(" ", "").replace("'", "")
    commas, dots = digits.count(","), digits.count(".")
    last = max(digits.rfind(","), digits.rfind("."))
    if (
        dots > 1
        or (commas == 1 and (dots and digits[last] == ","))
        or (commas == 1 and not dots and len(digits) - last != 4)
    ):
        return Fraction(digits.replace(".", "").replace(",", "."))  # 1.000,5
    return Fraction(digits.replace(",", ""))


def _is_unit(word: str) -> bool:
    return bool(word) and word.lower() not in _NO_UNITS and _pint_unit(word) is not None


def _converted(value: Fraction, unit: str, other: str) -> Fraction | None:
    """So many of one unit in the other; None where they measure different things."""
    a, b = _pint_unit(unit), _pint_unit(other)
    if a is None or b is None or not a.is_compatible_with(b):
        return None
    try:
        return Fraction(_registry().Quantity(value, a).to(b).magnitude)
    except Exception:  # decibels and their like have no exact value
        return None


@functools.lru_cache(maxsize=1024)
def _pint_unit(word: str) -> Any:
    if len(word) > 20 or word.startswith(" "):
        return None
    try:
        return _registry().parse_units(word.replace("^", "**").replace("²", "**2").replace("³", "**3"))
    except Exception:  # pint raises errors of many kinds on what is no unit
        return None


@functools.cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(non_int_type=Fraction)
