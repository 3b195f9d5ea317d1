"""Exact match: the binary baseline of the PGSRM paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pgsrm_plugin.terms.base import Needs, Term
from pgsrm_plugin.text.clean import normalise_space

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class ExactMatch(Term):
    """1 if the response equals a reference (or the ground truth), else 0: the binary baseline.

    Surrounding and repeated white space never counts.
    """

    kind: Literal["exact_match"] = "exact_match"
    others_say: ClassVar = ("em", "exact", "accuracy", "string_match")
    against: Literal["references", "ground_truth"] = "references"
    casefold: bool = Field(True, description="compare lower-case; surrounding white space never counts")
    verdict: ClassVar = 1

    def needs(self) -> Needs:
        """What it compares with."""
        return Needs(references=self.against == "references", ground_truth=self.against == "ground_truth")

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """0 or 1 a row."""
        return [float(self._form(row.response.text) in map(self._form, self._targets(row))) for row in rows]

    def _targets(self, row: Row) -> Sequence[str]:
        return row.targets if self.against == "references" else row.ground_truths

    def _form(self, text: str) -> str:
        text = normalise_space(text)
        return text.casefold() if self.casefold else text
