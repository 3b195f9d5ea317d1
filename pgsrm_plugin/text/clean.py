"""Raw response to scored text: thinking stripped, the answer picked out, Unicode made clean, length bounded.

Every step is a pure function of the text and the spec's ``text`` section.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pgsrm_plugin.text import TextSpec

if TYPE_CHECKING:
    from pgsrm_plugin.types import Prompt

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Control and format characters, and all that Unicode calls default-ignorable: they change a text without a trace."""
_NUMBER = re.compile(
    r"""(?P<number>[+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+))
        (?:[eE](?P<exponent>[+-]?\d{1,3}))?
        (?:/(?P<divisor>\d+))?""",
    re.ASCII | re.VERBOSE,
)
_SPACE = re.compile(r"\s+")


def clean(text: str, spec: TextSpec) -> str:
    """Valid, visible Unicode in normal form: lone surrogates become U+FFFD, what cannot be seen goes."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = _INVISIBLE.sub("", text)
    return text if spec.unicode == "none" else unicodedata.normalize(spec.unicode, text)


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


def has_content(text: str) -> bool:
    """Whether there is a letter, number, punctuation mark or symbol; a braille blank or U+FFFD is none."""
    return any(unicodedata.category(char)[0] in "LNPS" and char not in "\u2800\ufffd" for char in text)


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


def prompt_text(prompt: Prompt) -> str:
    """The prompt as plain text: chat messages joined by newlines."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(_content(message) for message in prompt)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))


def normalise_space(text: str) -> str:
    """White space runs to single spaces, ends stripped."""
    return _SPACE.sub(" ", text).strip()
