"""The scores of a policy's answers, by prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pgsrm_plugin.asking.store.answers import ParentConfig, Request
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.parents.export.references import settings_id
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.shapes.baselines import RowKey, line
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.types import RewardSample
from pgsrm_plugin.validate import check_samples, row_key

SAID = frozenset({"ok", "truncated", "empty", "unextracted"})
"""What the policy wrote counts however it ended, as in training: blank answers earn what blank answers earn."""


@dataclass
class PolicyScores:
    """The rows of a file of baselines, and what is wrong with those that are not in it.

    Attributes:
        unanswered: labels of rows whose prompt has no answer in the store.
        unscored: labels of rows all of whose answers are unscorable, under a spec that takes such out of the loss.
    """

    lines: list[dict[str, Any]] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    unscored: list[str] = field(default_factory=list)


def unshaped(spec: RewardSpec) -> RewardSpec:
    """The spec that scores a starting policy's answers.

    Raises:
        SpecError: what an answer is worth depends on others, or is an advantage.
    """
    if spec.aggregate.needs_groups or spec.aggregate.gives_advantages:
        raise SpecError(
            f"aggregate: {spec.aggregate.kind} says what a response is worth among others, so the starting policy has "
            f"no "
            f"rewards to hold others against; use aggregate: {spec.aggregate.instead}"
        )
    if spec.paid_in_groups:
        raise SpecError(
            f"term {spec.paid_in_groups[0]!r} says what a response is worth among others, so the starting policy has "
            "no rewards to hold others against; give it weight 0"
        )
    return spec.alone()


def rows_to_score(records: Sequence[Record], spec: RewardSpec) -> dict[RowKey, Record]:
    """The first record of each prompt and what its answers are compared with.

    Raises:
        DataError: rows lack what the spec compares with.
    """
    samples = [record.sample("x") for record in records]
    batch = check_samples(samples, spec, lambda i: records[i].label)
    found: dict[RowKey, Record] = {}
    for row, first in zip(batch.rows, batch.first, strict=True):
        found.setdefault(row_key(row, spec), records[first])
    return found


def score_policy(
    rows: dict[RowKey, Record],
    store: ParentStore,
    config: ParentConfig,
    samples: int,
    reward: SemanticReward,
    batch_size: int = 256,
    advance: Callable[[int], None] = lambda scored: None,
) -> PolicyScores:
    """Scores the policy's answers to each row.

    Args:
        samples: of each prompt.
        reward: of a spec :func:`unshaped`.
    """
    found = PolicyScores()
    asked: list[tuple[RowKey, RewardSample]] = []
    for key, record in rows.items():
        texts = _texts(store, config, record, samples)
        if not texts:
            found.unanswered.append(record.label)
        asked += [(key, record.sample(text)) for text in texts]
    scores: dict[RowKey, list[float]] = {key: [] for key, _ in asked}
    if reward.spec.unscorable == "raise":
        reward = reward.with_spec(reward.spec.model_copy(update={"unscorable": "mask"}))
    for start in range(0, len(asked), batch_size):
        part = asked[start : start + batch_size]
        output = reward.score([sample for _, sample in part], lambda i, part=part: rows[part[i][0]].label)  # type: ignore[misc]
        for (key, _), total, scored in zip(part, output.total_B.tolist(), output.scored_B.tolist(), strict=True):
            scores[key] += [total] if scored else []
        advance(len(part))
    policy = {"model": config.model, "revision": config.revision or "", "settings": settings_id(config)}
    for key, own in scores.items():
        if own:
            found.lines.append(line(key, rows[key].prompt, reward.spec.unshaped_fingerprint, own, policy))
        else:
            found.unscored.append(rows[key].label)
    return found


def _texts(store: ParentStore, config: ParentConfig, record: Record, samples: int) -> list[str]:
    answers = [store.get(Request(record.prompt, sample).key(config)) for sample in range(samples)]
    return [answer.text for answer in answers if answer is not None and answer.status in SAID]
