"""Correctness: an extracted answer against the ground truth."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from pgsrm_plugin.spec.terms import CorrectnessSpec
from pgsrm_plugin.text import inside_tag, normalise_space
from pgsrm_plugin.types import Embedder, PreparedRow


class Correctness:
    """1 if the answer found in the response (thinking left out) equals the ground truth, else 0.

    ``tag`` and ``regex`` take the last find. ``choice`` takes the letter that stands alone, else the one after "answer
    is", else the only one mentioned; a response that leaves several open is wrong: listing all of them must not pay.
    """

    bounds = (0.0, 1.0)
    penalty = False

    def __init__(self, spec: CorrectnessSpec) -> None:
        self._spec = spec
        letter = f"[{spec.choices}{spec.choices.lower()}]"
        self._alone = re.compile(rf"\(?({letter})[).:]?")
        self._stated = re.compile(rf"\banswer(?:\s+is)?\s*:?\s*\(?({letter})\)?(?![\w'])", re.IGNORECASE)
        # A bare capital followed by a lower-case word is the article "A", not a choice.
        self._mentioned = re.compile(rf"(?<![\w'])(?:\(({letter})\)|([{spec.choices}])(?![\w'])(?! [a-z]))")

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """0 or 1 a row."""
        return [float(self._correct(row)) for row in rows]

    def _correct(self, row: PreparedRow) -> bool:
        answer = self._answer(row)
        return answer is not None and self._equal(answer, row.ground_truth or "")

    def _answer(self, row: PreparedRow) -> str | None:
        if self._spec.extract == "tag":
            return inside_tag(row.visible_response, self._spec.tag)
        if self._spec.extract == "choice":
            return self._letter(row.visible_response)
        if self._spec.extract == "whole":
            return row.visible_response
        assert self._spec.pattern is not None
        found = [match.group(1) for match in re.finditer(self._spec.pattern, row.visible_response)]
        return found[-1] if found else None

    def _letter(self, text: str) -> str | None:
        if alone := self._alone.fullmatch(text.strip()):
            return alone.group(1).upper()
        letters = {letter.upper() for letter in self._stated.findall(text)}
        letters = letters or {(bracketed or bare).upper() for bracketed, bare in self._mentioned.findall(text)}
        return letters.pop() if len(letters) == 1 else None

    def _equal(self, answer: str, truth: str) -> bool:
        if self._spec.compare == "number":
            left, right = _number(answer), _number(truth)
            return left is not None and right is not None and math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
        return normalise_space(answer).casefold() == normalise_space(truth).casefold()


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "").replace("$", "").replace("%", "").strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None
