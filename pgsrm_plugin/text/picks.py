"""What is picked out of a text: inside a tag or a box, a value of a JSON object, the number that a solution ends in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from pgsrm_plugin.text.quantity import find_quantities

_ASIDE = re.compile(r"\([^()]*\)")
_RESULT = re.compile(r"=|\b(?:gives|equals|which\s+is)\b|\bnot\b[^,;]*\bbut\b", re.IGNORECASE)
"""In a sentence with the answer, what stands before is how it came about."""
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[。！？\n]")
_ATTEMPTS = 200
"""Braces at which no JSON object begins, before the search is given up."""
_FINAL = re.compile(
    r"####|\banswer(?:\s+is\b|\s*[:=])|\btherefore\b[^.\n]{0,40}[:=]|答案[是为：:]|答えは|정답은|정답:|réponse\s*:|respuesta\s*:|antwort\s*:|ответ\s*:",
    re.IGNORECASE,
)


def inside_tag(text: str, tag: str, open_end: bool = False) -> str | None:
    """The inside of the last complete ``<tag>...</tag>``, or None.

    Args:
        open_end: a tag that is opened last and never closed runs to the end, as where a stop string took the closing
            tag away.

    >>> inside_tag("<answer>3</answer> no, <answer>4</answer>", "answer")
    '4'
    >>> inside_tag("<answer>3", "answer"), inside_tag("<answer>3", "answer", open_end=True)
    (None, '3')
    """
    found = tag_span(text, tag, open_end)
    return None if found is None else text[found.start : found.end]


class TagSpan(NamedTuple):
    """Where the opening mark of a tag begins, and where its inside begins and ends."""

    mark: int
    start: int
    end: int


def tag_span(text: str, tag: str, open_end: bool = False) -> TagSpan | None:
    """Where what :func:`inside_tag` finds stands.

    >>> tag_span("so <answer>4</answer>", "answer")
    TagSpan(mark=3, start=11, end=12)
    """
    answer, opening = None, None
    # One linear pass: nested patterns would be quadratic on hostile text.
    for mark in re.finditer(rf"</?{re.escape(tag)}\s{{0,8}}>", text, flags=re.IGNORECASE):
        if mark.group().startswith("</"):
            answer = answer if opening is None else TagSpan(opening.start(), opening.end(), mark.start())
            opening = None
        else:
            opening = mark
    if open_end and opening is not None:
        return TagSpan(opening.start(), opening.end(), len(text))
    return answer


def inside_box(text: str) -> str | None:
    r"""The inside of the last ``\boxed{...}`` (or ``\fbox``), whose braces are balanced, or None.

    >>> inside_box(r"first \boxed{1}, so \boxed{\frac{1}{2}}"), inside_box(r"\boxed 7"), inside_box(r"\boxed{1")
    ('\\frac{1}{2}', '7', None)
    """
    last: str | None = None
    position = 0
    while (box := _BOX.search(text, position)) is not None:
        position = box.end()
        if box[1] is not None:
            last = box[1]
            continue
        depth = 1
        for brace in _BRACE.finditer(text, position):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if depth == 0:
                last, position = text[position : brace.start()], brace.end()
                break
        else:
            return last  # no box behind an unbalanced one: it would be inside
    return last


_BOX = re.compile(r"\\(?:boxed|fbox)\s?(?:\{|([^\s{}\\]))")
_BRACE = re.compile(r"\\[{}]|[{}]")


def json_value(text: str, key: str) -> str | None:
    """The value of a key in the text's last JSON object that has it; numbers and truth values as JSON writes them.

    >>> json_value('Sure: {"why": "2+2", "answer": 4} or {"answer": null}', "answer")
    '4'
    """
    values = [as_text(found.get(key)) for found in json_objects(text)]
    return next((value for value in reversed(values) if value is not None), None)


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that stand in a text, in order, an outer one without those inside it."""
    text = _LATEX.sub(r"\\\\", text)
    decoder, position = json.JSONDecoder(strict=False), 0
    for _ in range(_ATTEMPTS):
        brace = _OBJECT.search(text, position)
        if brace is None:
            return
        try:
            found, position = decoder.raw_decode(text, brace.start())
        except (ValueError, RecursionError):
            position = brace.end()
        else:
            yield found


_OBJECT = re.compile(r"\{(?=\s{0,100}[\"}])")
"""Where an object may begin; LaTeX's braces are none."""
_LATEX = re.compile(
    r"(?<!\\)\\(?=(?:[dt]?frac|sqrt|text|boxed|binom)\{|(?:times|theta|tan|tau|beta|right|rho|neq|nabla|pi|pm)\b)"
)
"""A backslash that a model forgot to double: of ``\\frac``, which JSON reads as a form feed."""


def as_text(value: object) -> str | None:
    """Text as it is, numbers and truth values as JSON writes them; nothing else is an answer."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None


def final_number(text: str) -> str | None:
    """The number that a solution ends in, as it is written: the one in its box, else the first after the last
    ``####`` or "the answer is", else the last of all; None where there is none.

    >>> final_number("3 + 4 = 7. The answer is $7, in 2 steps."), final_number("so it costs 1,200.50 dollars.")
    ('$7', '1,200.50 dollars')
    """
    boxed = inside_box(text)
    if boxed is not None:
        return boxed if find_quantities(boxed) else None
    for mark in reversed(list(_FINAL.finditer(text))):
        sentence = _SENTENCE_END.split(text[mark.end() : mark.end() + 200])[0]
        numbers = find_quantities(_RESULT.split(_ASIDE.sub(" ", sentence))[-1])
        if numbers:
            return numbers[0]
    numbers = find_quantities(text)
    return numbers[-1] if numbers else None
