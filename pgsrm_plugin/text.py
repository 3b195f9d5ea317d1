"""Raw response to scored text: thinking stripped, the answer picked out, Unicode made clean, length bounded.

Every step is a pure function of the text and the spec's ``text`` section.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgsrm_plugin.spec.schema import TextSpec
from pgsrm_plugin.types import Prompt

_INVISIBLE = re.compile(
    "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufff9-\ufffb]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class ScoredText:
    """The text that the terms see.

    Attributes:
        text: clean text, surrounding white space removed; empty where it is unscorable.
        unscorable: why it cannot be scored (``"empty"``, ``"no answer tag"``), or None.
        truncated: whether ``max_chars`` cut it.
    """

    text: str
    unscorable: str | None
    truncated: bool


def prepare(raw: str, spec: TextSpec) -> ScoredText:
    """The scored part of a response."""
    text = clean(raw, spec)
    if spec.strip_thinking:
        text = strip_thinking(text, spec.thinking_tags)
    if spec.answer_tag is not None:
        answer = inside_tag(text, spec.answer_tag)
        if answer is None:
            return ScoredText("", "no answer tag", False)
        text = answer
    text = text.strip()
    truncated = len(text) > spec.max_chars
    text = text[: spec.max_chars].rstrip()
    return ScoredText(text, None if has_content(text) else "empty", truncated)


def prepare_reference(raw: str, spec: TextSpec) -> str:
    """A reference in the form in which responses are scored; one without the answer tag is taken whole."""
    text = clean(raw, spec)
    if spec.strip_thinking:
        text = strip_thinking(text, spec.thinking_tags)
    if spec.answer_tag is not None:
        answer = inside_tag(text, spec.answer_tag)
        text = text if answer is None else answer
    return text.strip()[: spec.max_chars].rstrip()


def clean(text: str, spec: TextSpec) -> str:
    """Valid, visible Unicode in normal form: lone surrogates become U+FFFD, zero-width and control characters go."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = _INVISIBLE.sub("", text)
    if spec.unicode != "none":
        text = unicodedata.normalize(spec.unicode, text)
    return text.lower() if spec.lowercase else text


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
    """Whether any character is more than white space, invisible, or undecodable."""
    return any(not char.isspace() and char != "\ufffd" and unicodedata.category(char)[0] != "C" for char in text)


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
