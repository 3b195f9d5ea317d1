"""Correctness: an extracted answer against the ground truth."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.section import TagName
from pgsrm_plugin.terms.base import Needs, Pattern, Term
from pgsrm_plugin.text.clean import normalise_space
from pgsrm_plugin.text.extract import inside_tag, parse_number

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class Correctness(Term):
    """1 if the answer extracted from the response equals the ground truth, else 0.

    The answer is looked for in the response without its thinking. ``tag`` and ``regex`` take the last find. ``choice``
    takes the letter that stands alone, else the one mentioned in a clause that begins with "answer", else the only one
    mentioned. What leaves several open is wrong: listing all of them must not pay. Numbers are compared exactly.
    """

    kind: Literal["correctness"] = "correctness"
    extract: Literal["tag", "regex", "choice", "whole"] = Field(
        "tag", description="tag: inside <tag>; regex: first group; choice: a letter such as 'B' or '(B)'; whole: all"
    )
    tag: TagName = "answer"
    pattern: Pattern = Field(None, description="for regex; its first group is the answer")
    choices: str = Field("ABCDE", pattern=r"^[A-Z]{2,26}$", description="for choice: the letters there are")
    compare: Literal["text", "number"] = Field("text", description="text ignores case and white space")
    verdict: ClassVar = 2

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.extract == "regex") != (self.pattern is not None):
            raise ValueError("pattern belongs to extract: regex, and is required there")
        if self.pattern is not None and re.compile(self.pattern).groups < 1:
            raise ValueError("pattern needs a group, e.g. 'The answer is (.*)'")
        return self

    def needs(self) -> Needs:
        """The ground truth."""
        return Needs(ground_truth=True)

    def check_row(self, row: Row, name: str) -> None:
        """Refuses a ground truth that is no number, or none of the letters, where such are compared."""
        truth = row.ground_truth or ""
        if self.compare == "number" and parse_number(truth) is None:
            raise DataError(f"field 'ground_truth': {truth[:40]!r} is no number, and term {name!r} compares numbers")
        if self.extract == "choice" and truth.strip().upper() not in set(self.choices):
            raise DataError(
                f"field 'ground_truth': {truth[:40]!r} is not one of the letters {self.choices} of term {name!r}"
            )

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """0 or 1 a row."""
        return [float(self._correct(row)) for row in rows]

    def _correct(self, row: Row) -> bool:
        answer, truth = self._answer(row), row.ground_truth or ""
        if answer is None:
            return False
        if self.compare == "number":
            number = parse_number(answer)
            return number is not None and number == parse_number(truth)
        return normalise_space(answer).casefold() == normalise_space(truth).casefold()

    def _answer(self, row: Row) -> str | None:
        text = row.visible
        if self.extract == "tag":
            return inside_tag(text, self.tag)
        if self.extract == "choice":
            return _letters(self.choices).find(normalise_space(text))
        if self.extract == "whole":
            return text
        assert self.pattern is not None
        found = [match.group(1) for match in re.finditer(self.pattern, text)]
        return found[-1] if found else None


_CLAUSE = re.compile(r"\banswer\b([^.;!?]*)", re.IGNORECASE)


class _Letters(NamedTuple):
    """How the letters of a choice are written: alone, or mentioned in a sentence."""

    alone: re.Pattern[str]
    mentioned: re.Pattern[str]

    def find(self, text: str) -> str | None:
        if alone := self.alone.fullmatch(text):
            return alone.group(1).upper()
        letters = {letter for clause in _CLAUSE.findall(text) for letter in self._named(clause)}
        letters = letters or self._named(text)
        return letters.pop() if len(letters) == 1 else None

    def _named(self, text: str) -> set[str]:
        return {(bracketed or bare).upper() for bracketed, bare in self.mentioned.findall(text)}


@functools.lru_cache(maxsize=64)
def _letters(choices: str) -> _Letters:
    small = choices.lower()
    # "A" before a small word is the article, unless that word could follow a choice.
    article = r"(?! (?!(?:is|and|or|because|since|as|for)\b)[a-z])" if "A" in choices else ""
    return _Letters(
        re.compile(rf"\(?([{choices}{small}])[).:]{{0,2}}"),
        re.compile(rf"(?<![\w'])(?:\(([{choices}{small}])\)|([{choices}])(?![\w'])(?:(?<!A)|{article}))"),
    )
