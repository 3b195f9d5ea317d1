"""What an attack is: a rule that makes a text which deserves no reward."""

from __future__ import annotations

import inspect
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeAlias

from typing_extensions import Self

from pgsrm_plugin.audit.form import Form
from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.audit.wording import form_of

Pay: TypeAlias = "Callable[[Sequence[tuple[Target, str]]], list[float]]"
"""The reward of each text, as the answer to its row."""


@dataclass(frozen=True)
class Surroundings:
    """What an attack knows beside its row.

    Attributes:
        rows: all rows of the audit.
        form: how the spec wants answers.
    """

    rows: Sequence[Target]
    form: Form

    @cached_property
    def _references(self) -> Sequence[tuple[str, str, set[str]]]:
        """Each reference that attacks are made of, its form, and the prompts that it belongs to; sorted."""
        prompts: dict[str, set[str]] = {}
        for row in self.rows:
            prompts.setdefault(row.reference, set()).add(row.asked)
        return [(one, form_of(one), prompts[one]) for one in sorted(prompts)]

    @cached_property
    def _answers(self) -> Sequence[str]:
        return sorted({row.truth for row in self.rows if row.truth is not None})

    def others(self, row: Target) -> list[str]:
        """The references of rows with another prompt, sorted, without those that are also this row's."""
        own = {form_of(one) for one in row.right}
        return [text for text, form, prompts in self._references if row.asked not in prompts and form not in own]

    def wrong_answer(self, row: Target, rng: random.Random) -> str | None:
        """The short answer of another row that is none of this row's; None where there is none."""
        own = {form_of(one) for one in row.right}
        others = [one for one in self._answers if form_of(one) not in own]
        return rng.choice(others) if others else None


class Attack(ABC):
    """Makes, of a row, a text that should earn little.

    A subclass has a ``kind`` and :meth:`text`. The first line of its docstring is its line on the card.
    """

    kind: ClassVar[str]
    is_whole: ClassVar[bool] = False
    """Whether its text is a whole response, which is put into no tags."""

    @property
    def title(self) -> str:
        """How people call it."""
        return self.kind.replace("_", " ")

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return inspect.cleandoc(type(self).__doc__ or "").partition("\n")[0]

    @property
    def finding(self) -> str:
        """What there is to say about what it found in the data; usually nothing."""
        return ""

    def fitted(self, among: Surroundings, pay: Pay) -> Self:
        """The attack after it has learned from the rows and their rewards; most learn nothing."""
        return self

    @abstractmethod
    def text(self, row: Target, among: Surroundings, rng: random.Random) -> str | None:
        """The text, or None where the rule cannot make one of this row; ``rng`` is seeded by the row."""
