"""The numbers of streamed rewards in verl's training metrics, where verl itself has them in validation only."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from pgsrm_verl import compat
from pgsrm_verl.colocated.metrics import summary
from pgsrm_verl.streaming.preflight import is_ours


def with_terms(compute_metrics: Callable[..., None]) -> Callable[..., None]:
    """verl's ``PPOTrainer._compute_metrics``, with :func:`term_metrics` of the step where a reward manager of ours
    streams them; the trainer mode ``pgsrm_sync`` has its own."""

    @functools.wraps(compute_metrics)
    def compute(self: Any, batch: Any, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        compute_metrics(self, batch, metrics, *args, **kwargs)
        if is_ours(self.config) and not any(name.startswith("pgsrm/") for name in metrics):
            metrics.update(term_metrics(_rows(batch)))

    return compute


def term_metrics(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """``pgsrm/<term>/{mean,std,min,max}`` of a step's responses, and the mean of every other number.

    The standard deviation is the population's; names are those of the trainer mode ``pgsrm_sync``.

    Args:
        rows: what the reward manager logged of each response, the same keys in each.
    """
    names = rows[0] if rows else ()
    columns = {name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in names}
    metrics: dict[str, float] = {}
    for name, value_B in columns.items():
        if f"{name}/weighted" in columns:
            metrics |= {f"{name}/{kind}": value for kind, value in summary(value_B).items()}
        elif not name.endswith("/weighted"):
            metrics[name if name.startswith("pgsrm/") else f"pgsrm/{name}"] = float(value_B.mean())
    return metrics


def _rows(batch: Any) -> list[Mapping[str, float]]:
    """What was logged of each session: verl writes it to all outputs of one, and calls them by session and number."""
    sessions: dict[str, str] = {}
    for key, tag in zip(batch.keys, batch.tags, strict=True):
        if not tag.get("is_padding", False):
            sessions[key.rpartition("_")[0] or key] = key
    if not sessions:
        return []
    asked = {"keys": list(sessions.values()), "partition_id": batch.partition_id, "select_fields": ["extra_fields"]}
    found = compat.trainer_base.tq.kv_batch_get(**asked).pop("extra_fields").tolist()
    return [info for fields in found if (info := fields.get("reward_extra_info"))]
