"""A text's points: its sentences and the items of its lists."""

from __future__ import annotations

import re

_ITEM = re.compile(
    r"\s*(?:[-*+•‣▪◦·–—]\s+|#{1,6}\s+|\(?(?:\d{1,3}|[A-Za-z])[.)]\s+|\d{1,3}[.)、]\s*(?=[^\x00-\x7f])|[①-⑳]\s*)"
)
"""What marks an item of a list, or a heading, at the beginning of a line."""
_NUMBER = re.compile(r"(?<!\S)\(?(\d{1,2})[.)](?=\s)")
"""A number that may count the items of a list within a line."""
_CLOSING = "\"'”’»)\\]」』）】*_"
# Only at the beginning of a run of marks, or a long run would be read again from each of its marks.
_END = re.compile(rf"(?:(?<![.!?…])[.!?…]+[{_CLOSING}]*(?=\s)|[。！？｡]+[{_CLOSING}]*)\s*")
_FINISHED = re.compile(rf"[.!?…:;。！？：；｡][{_CLOSING}]*$")
_ABBREVIATIONS = frozenset(
    """e.g i.e cf vs al etc approx ca mr mrs ms dr prof st no nr fig figs eq sec ch vol pp ed eds inc ltd jr sr dept est
    jan feb mar apr jun jul aug sep sept oct nov dec bzw z.b d.h usw vgl u.a p.ex sig""".split()  # noqa: SIM905
)
_LOOK_BACK = 40


def points(text: str, most: int = 64) -> list[str]:
    """The sentences of a text, each item and heading of a list by itself, without its mark; in order, repeats included.

    A sentence ends at ``. ! ? …`` before white space, and at 。！？ anywhere; not after an abbreviation, an initial or
    a number that counts ("1. Heat it."), nor where a text that has capitals goes on in a small letter. A line that goes
    on in a small letter belongs to the one before it. Marks alone are no point. What is beyond ``most`` points is in
    the last one.

    >>> points("Water boils at 99.5 °C, e.g. here. 1. Heat it! 2. Wait\\nStir")
    ['Water boils at 99.5 °C, e.g. here.', 'Heat it!', 'Wait', 'Stir']
    >>> points("- 红色。绿色！\\n- 蓝色")
    ['红色。', '绿色！', '蓝色']
    """
    has_capitals = text != text.lower()
    found = [point for line in _lines(_itemised(text), has_capitals) for point in _sentences(line, has_capitals)]
    found = [point for point in found if any(map(str.isalnum, point))]
    return found if len(found) <= most else [*found[: most - 1], " ".join(found[most - 1 :])]


def _itemised(text: str) -> str:
    """The text with each item on a line of its own where numbers count them: "1. Red 2. Blue"."""
    starts: list[int] = []
    for number in _NUMBER.finditer(text):
        if int(number[1]) == len(starts) + 1:
            starts.append(number.start())
    if len(starts) < 2:
        return text
    return "\n".join(text[start:end] for start, end in zip([0, *starts], [*starts, len(text)], strict=True))


def _lines(text: str, has_capitals: bool) -> list[str]:
    """The paragraphs and items; a line that goes on with the sentence before it is joined to it."""
    lines: list[list[str]] = []
    for line in text.splitlines():
        if _goes_on(line, lines[-1][-1] if lines else "", has_capitals) and not _ITEM.match(line):
            lines[-1].append(line)
        else:
            lines.append([line])
    return [" ".join(map(str.strip, parts)) for parts in lines]


def sentence_starts(text: str) -> list[int]:
    """Where the sentences of a text begin, and the items of its lists, by the rules of :func:`points`.

    >>> sentence_starts("Red, e.g. here. Blue!\\nGreen")
    [0, 16, 22]
    """
    has_capitals = text != text.lower()
    starts, place, before = [0], 0, ""
    for line in text.splitlines(keepends=True):
        if _ITEM.match(line) or not _goes_on(line, before, has_capitals):
            starts.append(place)
        starts += [place + end for end in _sentence_ends(line, has_capitals)]
        place, before = place + len(line), line
    return sorted({start for start in starts if start < len(text)})


def _goes_on(line: str, before: str, has_capitals: bool) -> bool:
    """Whether a line goes on with the sentence in which the line before it ends."""
    before = before.rstrip()[-_LOOK_BACK:]
    return has_capitals and line.lstrip()[:1].islower() and bool(before) and not _FINISHED.search(before)


def _sentence_ends(line: str, has_capitals: bool) -> list[int]:
    """Where the sentences of a line end, white space behind them included; not that at which the line ends."""
    ends: list[int] = []
    for end in _END.finditer(line):
        before = line[max(ends[-1] if ends else 0, end.start() - _LOOK_BACK) : end.start()]
        if _ends(before, end[0].strip(), line[end.end() : end.end() + 2], has_capitals):
            ends.append(end.end())
    return ends


def _sentences(line: str, has_capitals: bool) -> list[str]:
    ends = _sentence_ends(line, has_capitals)
    first, *others = [line[start:end] for start, end in zip([0, *ends], [*ends, len(line)], strict=True)]
    mark = _ITEM.match(first)
    return [first[mark.end() if mark else 0 :].strip(), *map(str.strip, others)]


def _ends(before: str, mark: str, after: str, has_capitals: bool) -> bool:
    """Whether a sentence ends with a mark, by what stands before it and the two letters after it."""
    if mark[0] in ".…" and has_capitals and after[:1].islower():
        return False
    if mark != ".":
        return True
    *others, last = before.split() or [""]
    last = last.lstrip("([\"'“‘")
    counts = not others and _ITEM.fullmatch(f"{last}. ") is not None
    is_name = not others or others[-1][0].isupper() or after[1:] == "."  # but: "The answer is B. It ..."
    is_initial = len(last) == 1 and last.isupper() and is_name
    return not (counts or is_initial or last.lower() in _ABBREVIATIONS)
