"""Guards on a batch: the factor of each (response, reference) pair, and what each guard found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pgsrm_plugin.guards.base import Compared, Guard, Violation
from pgsrm_plugin.types import Row

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder

Found = Mapping[Compared, Mapping[str, Violation]]
"""What each guard found in each pair, by the guard's name."""


def look(rows: Sequence[Row], guards: Mapping[str, Guard], encoder: Embedder) -> Found:
    """Each distinct pair of the rows, in sorted order, so that nothing depends on where in the batch a row stands."""
    pairs = sorted({pair for row in rows for pair in _pairs(row)})
    columns = {name: guard.violations(pairs, encoder) for name, guard in guards.items()}
    return {pair: {name: columns[name][i] for name in guards} for i, pair in enumerate(pairs)}


def factor(found: Mapping[str, Violation], guards: Mapping[str, Guard]) -> float:
    """The product over the guards of 1 - cut * violation, in [0, 1]."""
    return math.prod(1.0 - guards[name].cut * violation.share for name, violation in found.items())


def guarded(rows: Sequence[Row], found: Found, guards: Mapping[str, Guard]) -> list[Row]:
    """The rows with the factor of each reference."""
    return [replace(row, factors=tuple(factor(found[pair], guards) for pair in _pairs(row))) for row in rows]


def logged(row: Row, found: Found) -> Mapping[str, Violation]:
    """Each guard's violation for the reference that the guards hold least against."""
    pairs = _pairs(row)
    return found[pairs[max(range(len(pairs)), key=lambda i: row.factors[i])]]


def words_of(violations: Mapping[str, Violation]) -> dict[str, tuple[str, ...]]:
    """What made each guard fire that did."""
    return {name: violation.words for name, violation in violations.items() if violation.share > 0}


def _pairs(row: Row) -> list[Compared]:
    return [Compared(row.response.text, target, row.prompt) for target in row.targets]
