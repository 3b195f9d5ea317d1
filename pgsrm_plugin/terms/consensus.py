"""Consensus: likeness to what the other responses agree on, for prompts without references (Co-Reward)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.terms.base import Needs, Term

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class Consensus(Term):
    r"""Likeness to what the other responses agree on; needs no reference and no label.

    The reference of a response is the medoid of others: the one with the greatest sum of cosines to them, or with
    ``by: equality`` the most frequent one. The others are the responses to the prompts with the same value of
    ``paraphrases`` and another text, so that a question and its paraphrase label each other (Co-Reward, arXiv
    2508.00410), or without it the rest of the response's own group. Worth :math:`\max(0, \cos)`, or 1 and 0. It pays
    for agreement, not for truth: a policy that agrees on an error is paid for it. Paraphrases are seen within a batch
    only (``data.together`` of ``pgsrm train``): a row whose paraphrases are in another step is unscorable, and counted.
    """

    kind: Literal["consensus"] = "consensus"
    others_say: ClassVar = ("co_reward", "self_consistency", "majority_vote", "ttrl")
    also_known_as: ClassVar = {"from": "write `paraphrases: COLUMN`, the column that paraphrases share"}
    by: Literal["cosine", "equality"] = Field(
        "cosine", description="cosine: the medoid, by the encoder; equality: the most frequent text, case aside"
    )
    paraphrases: str | None = Field(
        None, min_length=1, description="the column whose value a prompt and its paraphrases share, as a dotted path"
    )

    @property
    def needs_groups(self) -> bool:
        """Always: it is about the others."""
        return True

    def alone(self) -> Term:
        """0: there are no others."""
        return Unaccompanied(**self.model_dump())

    def needs(self) -> Needs:
        """Embeddings, but for ``by: equality``; the column of the paraphrases."""
        return Needs(vectors=self.by == "cosine", columns=() if self.paraphrases is None else (self.paraphrases,))

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """0 for each: a row alone has no others."""
        return [0.0] * len(rows)

    @property
    def declines(self) -> bool:
        """Where there are no others."""
        return True

    def check_row(self, row: Row, name: str) -> None:
        """Refuses a row that does not say whose paraphrase it is."""
        if self.paraphrases is not None and not row.columns[self.paraphrases].strip():
            raise DataError(f"field {self.paraphrases!r} is missing, and term {name!r} finds paraphrases by it")

    def score_groups(self, groups: Sequence[Sequence[Row]], encoder: Embedder) -> list[list[float | None]]:
        """Values in [0, 1]; None where there are no others."""
        flat = [
            (row, others) for group in groups for row, others in zip(group, self._others(group, groups), strict=True)
        ]
        values = iter(self._equal(flat) if self.by == "equality" else self._near(flat, encoder))
        return [[next(values) for _ in group] for group in groups]

    def _equal(self, rows: Sequence[tuple[Row, Sequence[str]]]) -> list[float | None]:
        from pgsrm_plugin.functional import most_frequent

        labels = [most_frequent([_form(text) for text in others]) if others else None for _, others in rows]
        pairs = zip(rows, labels, strict=True)
        return [None if label is None else float(_form(row.response.text) == label) for (row, _), label in pairs]

    def _near(self, rows: Sequence[tuple[Row, Sequence[str]]], encoder: Embedder) -> list[float | None]:
        from pgsrm_plugin.functional import medoid
        from pgsrm_plugin.terms.pairs import cosines_within

        cosines = cosines_within([[row.response.text, *others] for row, others in rows], encoder)
        return [
            max(0.0, cosines[row.response.text, medoid(others, cosines)]) if others else None for row, others in rows
        ]

    def _others(self, group: Sequence[Row], groups: Sequence[Sequence[Row]]) -> list[list[str]]:
        """For each row of a group the responses that decide what it is compared with."""
        texts = [row.response.text for row in group]
        if self.paraphrases is None:
            return [texts[:place] + texts[place + 1 :] for place in range(len(texts))]
        first = group[0]
        key = first.columns[self.paraphrases]
        theirs = [row for other in groups for row in other if row.columns[self.paraphrases] == key]
        return [[row.response.text for row in theirs if row.prompt != first.prompt]] * len(group)


class Unaccompanied(Consensus):
    """The same where responses have no group."""

    @property
    def needs_groups(self) -> bool:
        """Never."""
        return False


def _form(text: str) -> str:
    return " ".join(text.casefold().split())
