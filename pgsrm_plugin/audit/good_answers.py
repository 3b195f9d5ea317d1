"""What is known to be good: right responses, another reference, or at worst the reference itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pgsrm_plugin.audit.form import Form
from pgsrm_plugin.audit.pay import Paid, Paymaster
from pgsrm_plugin.audit.targets import MOST_RESPONSES, Target

Basis = Literal["responses", "other references", "the reference itself"]


@dataclass(frozen=True)
class Graded:
    """A row with what its good answers earn.

    Attributes:
        row: as it is attacked; a reference that serves as the good answer is no longer compared with.
        basis: what the good answers are.
        goods: the texts, and what each earned.
        responses: what the data's own responses earned, right or wrong.
    """

    row: Target
    basis: Basis
    goods: tuple[tuple[str, Paid], ...]
    responses: tuple[Paid, ...]

    @property
    def mean(self) -> float:
        """What the good answers earn, on average."""
        return sum(paid.reward for _, paid in self.goods) / len(self.goods)


def grade(rows: Sequence[Target], form: Form, paymaster: Paymaster) -> list[Graded]:
    """The good answers of each row: its responses that the spec's verdict calls right; else the last of several
    references, which the row is then no longer compared with; else the reference itself."""
    answered = [(row, text) for row in rows for text in _some(row)]
    paid = dict[str, list[tuple[str, Paid]]]()
    for (row, response), one in zip(answered, paymaster.pay(answered), strict=True):
        paid.setdefault(row.key, []).append((response, one))
    chosen = [_chosen(row, paid.get(row.key, []), form) for row in rows]
    waiting = [(row, text) for row, _, text in chosen if text is not None]
    earned = iter(paymaster.pay(waiting))
    graded = []
    for original, (row, basis, text) in zip(rows, chosen, strict=True):
        known = paid.get(original.key, [])
        goods = [one for one in known if one[1].right] if text is None else [(text, next(earned))]
        graded.append(Graded(row, basis, tuple(goods), tuple(one for _, one in known)))
    return graded


def _some(row: Target) -> Sequence[str]:
    distinct = list(dict.fromkeys(row.responses))
    return distinct if len(distinct) <= MOST_RESPONSES else row.rng("responses").sample(distinct, MOST_RESPONSES)


def _chosen(row: Target, known: Sequence[tuple[str, Paid]], form: Form) -> tuple[Target, Basis, str | None]:
    """The row, what is good, and the text that is still to be scored."""
    if any(paid.right for _, paid in known):
        return row, "responses", None
    if len(set(row.targets)) > 1:
        held_out = max(number for number, one in enumerate(row.targets) if one != row.targets[0])
        return row.without_reference(held_out), "other references", form.fill(row.targets[held_out], row.truth)
    return row, "the reference itself", form.fill(row.reference, row.truth)
