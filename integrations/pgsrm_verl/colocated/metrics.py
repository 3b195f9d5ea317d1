"""A step's rewards as verl's metrics."""

from __future__ import annotations

import torch

from pgsrm_plugin.types import RewardOutput

GIB = 2**30
POLICY_SECONDS = "pgsrm/policy_seconds"
"""What asking the policy took of a step, where a term asks it."""


def reward_metrics(output: RewardOutput) -> dict[str, float]:
    """``pgsrm/<term>/{mean,std,min,max}``, the share of rows for each flag, and what the encoder had to do.

    Diagnostics (``pgsrm/unscorable``, ``pgsrm/truncated``, ``pgsrm/response_chars`` ...) are means over the rows; the
    standard deviation is the population's.
    """
    if not len(output):
        return {}
    metrics: dict[str, float] = {}
    for name, value_B in output.terms.items():
        metrics |= {f"pgsrm/{name}/{kind}": value for kind, value in summary(value_B).items()}
    metrics |= {f"pgsrm/{name}": float(value_B.mean()) for name, value_B in output.diagnostics.items()}
    metrics["pgsrm/scored"] = float(output.scored_B.double().mean())
    # verl's own timing_s/reward says how long it took.
    counts = {name: value for name, value in output.stats.items() if name != "seconds"}
    return metrics | {f"pgsrm/{name.replace('/', '_')}": value for name, value in counts.items()}


def summary(value_B: torch.Tensor) -> dict[str, float]:
    """``mean``, ``std`` (the population's), ``min`` and ``max``."""
    found = {"mean": value_B.mean(), "std": value_B.std(correction=0), "min": value_B.min(), "max": value_B.max()}
    return {kind: float(value) for kind, value in found.items()}
