"""What is picked out of a text: what stands after the thinking, inside a tag, or a number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

_NUMBER = re.compile(
    r"""(?P<number>[+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+))
        (?:[eE](?P<exponent>[+-]?\d{1,3}))?
        (?:/(?P<divisor>\d+))?""",
    re.ASCII | re.VERBOSE,
)


def strip_thinking(text: str, tags: Sequence[str]) -> str:
    """Removes thinking blocks.

    A closing tag without an opening one ends a block that the chat template opened, so all before it goes; a block that
    is never closed runs to the end.

    >>> strip_thinking("<think>2+2</think> 4", ["think"])
    ' 4'
    >>> strip_thinking("so it is 4</think>4", ["think"])
    '4'
    >>> strip_thinking("4 <think>or is it", ["think"])
    '4 '
    """
    kept: list[str] = []
    start, inside = 0, False
    for mark in _marks(text, tags):
        closing = mark.group().startswith("</")
        if closing and not inside:
            kept.clear()
        elif not closing and not inside:
            kept.append(text[start : mark.start()])
        inside = not closing
        start = mark.end()
    return "".join(kept) if inside else "".join([*kept, text[start:]])


def inside_tag(text: str, tag: str) -> str | None:
    """The inside of the last complete ``<tag>...</tag>``, or None.

    >>> inside_tag("<answer>3</answer> no, <answer>4</answer>", "answer")
    '4'
    """
    answer, start = None, None
    for mark in _marks(text, [tag]):
        if mark.group().startswith("</"):
            answer = answer if start is None else text[start : mark.start()]
            start = None
        else:
            start = mark.end()
    return answer


def _marks(text: str, tags: Sequence[str]) -> Iterator[re.Match[str]]:
    """Opening and closing tags in order. One linear pass: nested patterns would be quadratic on hostile text."""
    return re.finditer(rf"</?(?:{'|'.join(tags)})>", text, flags=re.IGNORECASE) if tags else iter(())


def parse_number(text: str) -> Fraction | None:
    """The exact value of a number as people write it, or None: ``1,000.5``, ``-3e4``, ``1/2``, ``$5``, ``12 %``.

    Commas count as thousands separators only where they stand every three digits.

    >>> parse_number("1,000.50"), parse_number("\u22121/2"), parse_number("3,4")
    (Fraction(2001, 2), Fraction(-1, 2), None)
    """
    text = text.strip().replace("\u2212", "-").removeprefix("$").removesuffix("%").strip()
    found = _NUMBER.fullmatch(text) if len(text) <= 64 else None
    if found is None:
        return None
    value = Fraction(found["number"].replace(",", "")) * Fraction(10) ** int(found["exponent"] or 0)
    divisor = int(found["divisor"] or 1)
    return value / divisor if divisor else None
