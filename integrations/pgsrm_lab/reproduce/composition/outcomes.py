"""The numbers of a run of the composition study."""

from __future__ import annotations

from typing import Any

from pgsrm_lab.reproduce.guards import shares
from pgsrm_lab.reproduce.measure import Measure
from pgsrm_lab.reproduce.study import Run

TERMS = ("right", "likeness", "short")
LAST = 8
"""Steps at the end over which sampled answers' terms are averaged."""
MEASURES = {
    measure.column: measure
    for measure in (
        shares.MEASURES["right_final"],
        shares.MEASURES["wrong_final"],
        shares.MEASURES["other_final"],
        Measure("right_term", "`right`", "higher", False, f"mean over the sampled answers of the last {LAST} steps"),
        Measure("likeness_term", "`likeness`", "higher", False, "likewise"),
        Measure("short_term", "`short`", "higher", False, "likewise"),
        Measure("even", "share of groups without a difference", "lower", True, "all rewards equal, over the run"),
    )
}


def row_of(run: Run) -> dict[str, Any]:
    """A finished run's row of results.parquet."""
    curves = run["curves"]
    terms = {f"{name}_term": _last(curves[f"train/reward/{name}"]["values"]) for name in TERMS}
    even = curves["train/zero_variance_groups"]["values"]
    return {**shares.row_of(run), **terms, "even": sum(even) / len(even), "chosen": _chosen(run)}


def _last(values: list[float]) -> float:
    kept = values[-LAST:]
    return sum(kept) / len(kept)


def _chosen(run: Run) -> float | None:
    """Where weights are learned, the mean chance at the end of the term that is chosen most; else None."""
    found = [_last(one["values"]) for name, one in run["curves"].items() if name.startswith("train/chosen/")]
    return max(found, default=None)
