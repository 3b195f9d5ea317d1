"""What a model thinks aloud before its answer, in the marks of any model."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import TypeAlias

Marks: TypeAlias = "str | tuple[str, str]"
"""The name of a tag, ``think`` for ``<think>...</think>``, or the opening and the closing mark."""
DIALECTS: tuple[Marks, ...] = (
    "think",
    "thinking",
    "seed:think",
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
)
"""DeepSeek, Qwen and many more; Seed-OSS; Magistral; Kimi; Sky-T1; gpt-oss; Command A."""


def strip_thinking(text: str, marks: Sequence[Marks] = DIALECTS) -> str:
    """Removes thinking blocks.

    A closing mark without an opening one ends a block that the chat template opened, so all before it goes; a block
    that is never closed runs to the end. Letter case does not count, nor white space at the end of a tag's name.

    >>> strip_thinking("<think>2+2</think> 4"), strip_thinking("[THINK]2+2[/THINK]4")
    (' 4', '4')
    >>> strip_thinking("so it is 4</think>4"), strip_thinking("4 <think>or is it")
    ('4', '4 ')
    """
    return "".join(text[start:end] for start, end in visible_spans(text, marks))


def visible_spans(text: str, marks: Sequence[Marks] = DIALECTS) -> list[tuple[int, int]]:
    """Where the text stands that :func:`strip_thinking` leaves; the last span ends with the text, unless it is inside
    a block that is never closed.

    >>> visible_spans("<think>2+2</think> 4"), visible_spans("4 <think>or is it")
    ([(0, 0), (18, 20)], [(0, 2)])
    """
    if not marks:
        return [(0, len(text))]
    pattern, kinds = _pattern(tuple(marks))
    kept: list[tuple[int, int]] = []
    start, inside = 0, False
    # One linear pass: nested patterns would be quadratic on hostile text.
    for mark in pattern.finditer(text):
        closing = kinds[mark.lastgroup or ""]
        if closing and not inside:
            kept.clear()
        elif not closing and not inside:
            kept.append((start, mark.start()))
        inside = not closing
        start = mark.end()
    return kept if inside else [*kept, (start, len(text))]


@functools.lru_cache(maxsize=64)
def _pattern(marks: tuple[Marks, ...]) -> tuple[re.Pattern[str], dict[str, bool]]:
    opening = [rf"<{re.escape(mark)}\s{{0,8}}>" if isinstance(mark, str) else re.escape(mark[0]) for mark in marks]
    closing = [rf"</{re.escape(mark)}\s{{0,8}}>" if isinstance(mark, str) else re.escape(mark[1]) for mark in marks]
    pattern = rf"(?P<closing>{'|'.join(closing)})|(?P<opening>{'|'.join(opening)})"
    return re.compile(pattern, re.IGNORECASE), {"closing": True, "opening": False}
