"""Statements to answer prompts with: right ones in other words than the reference, wrong ones in nearly its words.

Three kinds of wrong: another number, a negation too many or too few, roles swapped. All are this project's own
(``data/README.md``); which answers are right is said here, and by no reward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pgsrm_lab.tasks.tables import read_table


@dataclass(frozen=True)
class Statement:
    """A prompt and its answers.

    Attributes:
        reference: what an answer is compared with.
        right: answers that say the same in other words.
        wrong: answers that say something else in nearly the reference's words.
    """

    prompt: str
    reference: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def numbers() -> tuple[Statement, ...]:
    """Wrong by another number."""
    return _of_kind("numbers")


def negations() -> tuple[Statement, ...]:
    """Wrong by a negation, or for want of one."""
    return _of_kind("negations")


def roles() -> tuple[Statement, ...]:
    """Wrong because who did it and to whom are swapped."""
    return _of_kind("roles")


STATEMENTS: dict[str, Callable[[], tuple[Statement, ...]]] = {
    "numbers": numbers,
    "negations": negations,
    "roles": roles,
}


def _of_kind(kind: str) -> tuple[Statement, ...]:
    return tuple(
        Statement(row["prompt"], row["reference"], (row["right"], row["right_too"]), (row["wrong"], row["wrong_too"]))
        for row in read_table("statements")
        if row["kind"] == kind
    )
