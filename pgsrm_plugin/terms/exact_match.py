"""Exact match: the binary baseline of the PGSRM paper."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.spec.terms import ExactMatchSpec
from pgsrm_plugin.text.clean import normalise_space
from pgsrm_plugin.types import Embedder, PreparedRow


class ExactMatch:
    """1 if the response equals any target, surrounding and repeated white space aside, else 0."""

    bounds = (0.0, 1.0)
    penalty = False

    def __init__(self, spec: ExactMatchSpec) -> None:
        self._spec = spec

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """0 or 1 a row."""
        return [float(self._form(row.response) in map(self._form, self._targets(row))) for row in rows]

    def _targets(self, row: PreparedRow) -> Sequence[str]:
        return row.references if self._spec.against == "references" else (row.ground_truth or "",)

    def _form(self, text: str) -> str:
        text = normalise_space(text)
        return text.casefold() if self._spec.casefold else text
