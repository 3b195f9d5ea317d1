"""Correctness: an extracted answer against the ground truth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.section import TagName
from pgsrm_plugin.terms.base import Needs, Pattern, Term
from pgsrm_plugin.text import Step, one_or_more
from pgsrm_plugin.text.clean import normalise_space
from pgsrm_plugin.text.formula import same_formula
from pgsrm_plugin.text.quantity import fold, parse_quantity
from pgsrm_plugin.text.steps import find_answer

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class Correctness(Term):
    r"""1 if the answer extracted from the response equals the ground truth (or one of several), else 0.

    The answer is looked for in the response without its thinking, by one step or several in order: ``[tag, choice]`` is
    the letter inside the tag. ``tag``, ``boxed``, ``json`` and ``regex`` take the last find. ``number`` takes the
    number in the box, else the first after the last "####" or "the answer is", else the last. ``choice`` takes the
    letter that stands alone, else the first of the clause that begins with "answer" (in 20 languages), else the only
    one mentioned; what leaves several open is wrong: listing all of them must not pay. Numbers are compared exactly, as
    people write them: $1,000.50, 12 %, 1 1/2, \frac{1}{2}; percent signs and units as
    :class:`pgsrm_plugin.text.quantity.Quantity` says. Formulas are compared by math-verify.
    """

    kind: Literal["correctness"] = "correctness"
    others_say: ClassVar = ("correct", "math", "math_verify", "answer", "verifiable", "gsm8k")
    extract: Annotated[
        tuple[Step, ...], BeforeValidator(one_or_more, json_schema_input_type=Step | tuple[Step, ...])
    ] = Field(
        ("tag",),
        description="one step, or several in order. tag: inside <tag>; boxed: inside \\boxed{}; json: the value of "
        "`key`; regex: first group; number: the number that it ends in; choice: a letter such as 'B' or '(B)'; "
        "whole: all",
    )
    tag: TagName = "answer"
    unclosed: bool = Field(
        False, description="for tag: one that is never closed runs to the end (a stop string took it)"
    )
    key: str = Field("answer", min_length=1, description="for json: the key whose value is the answer")
    pattern: Pattern = Field(None, description="for regex; its first group is the answer")
    choices: str = Field("ABCDE", pattern=r"^[A-Z]{2,26}$", description="for choice: the letters there are")
    compare: Literal["text", "number", "math"] | None = Field(
        None,
        description="text ignores case and white space; math: as text, as number, or as a formula (LaTeX); by default "
        "number after the step number, math after boxed, else text",
    )
    verdict: ClassVar = 2

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if ("regex" in self.extract) != (self.pattern is not None):
            raise ValueError("pattern belongs to extract: regex, and is required there")
        if self.pattern is not None and re.compile(self.pattern).groups < 1:
            raise ValueError("pattern needs a group, e.g. 'The answer is (.*)'")
        if not 0 < len(self.extract) < 5:
            raise ValueError("extract takes one to four steps")
        for step in ("choice", "number"):
            if step in self.extract[:-1]:
                raise ValueError(f"{step} finds the answer itself, so it must be the last step")
        return self

    @property
    def comparison(self) -> str:
        """How the answer is compared: as said, or as the last step suggests."""
        return self.compare or {"number": "number", "boxed": "math"}.get(self.extract[-1], "text")

    def needs(self) -> Needs:
        """The ground truth."""
        return Needs(ground_truth=True)

    def check_row(self, row: Row, name: str) -> None:
        """Refuses a ground truth that is no number, or none of the letters, where such are compared."""
        for truth in row.ground_truths:
            if self.comparison == "number" and parse_quantity(truth) is None:
                raise DataError(
                    f"field 'ground_truth': {truth[:40]!r} is no number, and term {name!r} compares numbers "
                    "(compare: math reads formulas too)"
                )
            if self.extract[-1] == "choice" and truth.strip().upper() not in set(self.choices):
                raise DataError(
                    f"field 'ground_truth': {truth[:40]!r} is not one of the letters {self.choices} of term {name!r}"
                )

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """0 or 1 a row."""
        return [float(self._is_right(self._answer(row), row.ground_truths)) for row in rows]

    def _answer(self, row: Row) -> str | None:
        return find_answer(
            row.visible,
            self.extract,
            tag=self.tag,
            key=self.key,
            pattern=self.pattern or "",
            choices=self.choices,
            open_end=self.unclosed,
            whole_numbers=self.comparison == "number" and self.extract[-1] == "regex",
        )

    def _is_right(self, answer: str | None, truths: Sequence[str]) -> bool:
        return answer is not None and any(self._same(answer, truth) for truth in truths)

    def _same(self, answer: str, truth: str) -> bool:
        if self.comparison == "text":
            return _form(answer) == _form(truth)
        is_math = self.comparison == "math"
        if is_math and _same_words(fold(answer), fold(truth)):
            return True
        number, expected = parse_quantity(answer), parse_quantity(truth)
        if number is not None and expected is not None and not (is_math and _has_symbols(fold(answer) + fold(truth))):
            return number.equals(expected)
        is_formula = is_math or "\\" in answer or "^" in answer
        return is_formula and bool(answer.strip()) and same_formula(answer, truth)


def _same_words(answer: str, truth: str) -> bool:
    """Equal as text; letter case counts, but for words, since R and r are two variables."""
    answer, truth = normalise_space(answer), normalise_space(truth)
    are_words = all(re.fullmatch(r"[^\W\d_]{3,}(?:[ '-][^\W\d_]+)*", text) for text in (answer, truth))
    return answer == truth or (are_words and answer.casefold() == truth.casefold())


def _has_symbols(text: str) -> bool:
    """Whether it is no plain amount: a letter or sign stands at a number, or there is an equation (2x, 5!, x = 3)."""
    return re.search(r"\d[A-Za-z!]|[A-Za-z)]\s?=", text) is not None


def _form(text: str) -> str:
    return normalise_space(text).casefold()
