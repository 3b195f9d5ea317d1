"""Correctness: an extracted answer against the ground truth."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgsrm_plugin.spec.terms import CorrectnessSpec
from pgsrm_plugin.text.clean import inside_tag, normalise_space, parse_number
from pgsrm_plugin.types import Embedder, PreparedRow


class Correctness:
    """1 if the answer found in the response (thinking left out) equals the ground truth, else 0.

    ``tag`` and ``regex`` take the last find. ``choice`` takes the letter that stands alone, else the one mentioned in
    a clause that begins with "answer", else the only one mentioned. What leaves several open is wrong: listing all of
    them must not pay. Numbers are compared exactly.
    """

    bounds = (0.0, 1.0)
    penalty = False

    def __init__(self, spec: CorrectnessSpec) -> None:
        self._spec = spec
        letters, small = spec.choices, spec.choices.lower()
        self._alone = re.compile(rf"\(?([{letters}{small}])[).:]{{0,2}}")
        self._clause = re.compile(r"\banswer\b([^.;!?]*)", re.IGNORECASE)
        # "A" before a small word is the article, unless that word could follow a choice.
        article = r"(?! (?!(?:is|and|or|because|since|as|for)\b)[a-z])" if "A" in letters else ""
        self._mentioned = re.compile(
            rf"(?<![\w'])(?:\(([{letters}{small}])\)|([{letters}])(?![\w'])(?:(?<!A)|{article}))"
        )

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """0 or 1 a row."""
        return [float(self._correct(row)) for row in rows]

    def _correct(self, row: PreparedRow) -> bool:
        answer, truth = self._answer(row), row.ground_truth or ""
        if answer is None:
            return False
        if self._spec.compare == "number":
            number = parse_number(answer)
            return number is not None and number == parse_number(truth)
        return normalise_space(answer).casefold() == normalise_space(truth).casefold()

    def _answer(self, row: PreparedRow) -> str | None:
        text = row.visible_response
        if self._spec.extract == "tag":
            return inside_tag(text, self._spec.tag)
        if self._spec.extract == "choice":
            return self._letter(normalise_space(text))
        if self._spec.extract == "whole":
            return text
        assert self._spec.pattern is not None
        found = [match.group(1) for match in re.finditer(self._spec.pattern, text)]
        return found[-1] if found else None

    def _letter(self, text: str) -> str | None:
        if alone := self._alone.fullmatch(text):
            return alone.group(1).upper()
        letters = {letter for clause in self._clause.findall(text) for letter in self._letters(clause)}
        letters = letters or self._letters(text)
        return letters.pop() if len(letters) == 1 else None

    def _letters(self, text: str) -> set[str]:
        return {(bracketed or bare).upper() for bracketed, bare in self._mentioned.findall(text)}
