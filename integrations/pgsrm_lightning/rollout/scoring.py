"""Rollouts to rewards, and what is logged about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pgsrm_lightning.advantages import group_rows, moments
from pgsrm_lightning.distributed import total
from pgsrm_lightning.losses import kl_k3
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.rollout.experience import Experience
from pgsrm_lightning.rollout.generate import Rollout
from pgsrm_plugin import RewardOutput, RewardSample, RewardSpec, SemanticReward
from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.kinds import kind_of
from pgsrm_plugin.policy.base import PolicyScorer, PolicyTokens
from pgsrm_plugin.reward import ON, REASONING, accuracy
from pgsrm_plugin.terms.semantic import Semantic
from pgsrm_plugin.types import GUARD

ZERO_VARIANCE = 1e-6
"""A group whose rewards' standard deviation is at most this teaches nothing."""

SEMANTIC = kind_of(Semantic)
"""The validation metric, and the name of the term that it prefers."""


@dataclass(frozen=True)
class Answers:
    """Responses with their rewards, row by row: what :class:`~pgsrm_lightning.callbacks.RolloutLog` writes.

    Attributes:
        records: one a response, so ``group_size`` times the same one after the other.
        group_size: responses to one record.
        guided: which responses go on from guidance: they are a group of their own. Empty: none.
    """

    records: Sequence[Record]
    texts: Sequence[str]
    output: RewardOutput
    group_size: int = 1
    guided: Sequence[bool] = ()

    @property
    def groups(self) -> list[int]:
        """The number of each row's group: a group is the responses to one record, whatever its prompt or columns."""
        return _groups(len(self.texts), self.group_size, self.guided)

    @property
    def samples(self) -> list[RewardSample]:
        """What was scored."""
        return _samples(self.records, self.texts, self.groups)


def score(
    reward: SemanticReward,
    records: Sequence[Record],
    texts: Sequence[str],
    group_size: int = 1,
    tokens: Sequence[PolicyTokens] | None = None,
    policy: PolicyScorer | None = None,
    guided: Sequence[bool] = (),
) -> Answers:
    """Scores one response a record.

    Args:
        group_size: how often each record stands there, one after the other.
        tokens, policy: of each row, and what answers for the child, where the reward asks it.
        guided: see :class:`Answers`.

    Raises:
        ScorerError: the encoder or a term failed; it is for the caller to stop, never to go on with zeros.
    """
    samples = _samples(records, texts, _groups(len(texts), group_size, guided))
    if tokens is not None:
        samples = [replace(one, tokens=own) for one, own in zip(samples, tokens, strict=True)]
    return Answers(records, texts, reward.score(samples, policy=policy), group_size, guided)


def measure_rewards(answers: Answers, meter: Meter) -> None:
    """Adds reward (before it was normalised, where it was), terms and groups.

    A term's mean is over the rows on which it is on. Unscored rows enter only ``train/unscorable``,
    ``train/input_truncated`` and ``train/unknown_words``.
    """
    output, scored_B = answers.output, answers.output.scored_B
    meter.add_masked("train/reward", output.rewards, scored_B)
    if "unshaped" in output.diagnostics:
        meter.add_masked("train/reward_unshaped", output.diagnostics["unshaped"], scored_B)
    for name, value_B in output.terms.items():
        on_B = output.diagnostics.get(f"{ON}{name}")
        meter.add_masked(f"train/reward/{name}", value_B, scored_B if on_B is None else scored_B & on_B.bool())
    for name, value_B in output.violations.items():
        meter.add_masked(f"train/reward/{GUARD}{name}", value_B, scored_B)
    if REASONING in output.diagnostics:
        meter.add("train/reasoning_chars", output.diagnostics[REASONING].sum(), len(output))
    groups = group_rows(answers.groups, scored_B)
    means = torch.tensor([float(output.rewards[rows].mean()) for rows in groups], dtype=torch.float64)
    stds = [float(output.rewards[rows].std(correction=0)) for rows in groups if len(rows) > 1]
    meter.add("train/reward_std_within_groups", sum(stds), len(stds))
    means = means.to(meter.dtype).to(meter.device)
    _, variance = moments(means, torch.ones_like(means, dtype=torch.bool), total)
    meter.add("train/reward_std_across_groups", variance.sqrt())
    meter.add("train/zero_variance_groups", sum(std <= ZERO_VARIANCE for std in stds), len(stds))
    rows = float(len(output))
    meter.add("train/unscorable", output.diagnostics["unscorable"].sum(), rows)
    meter.add("train/input_truncated", output.diagnostics["truncated"].sum(), rows)
    meter.add("train/unknown_words", output.diagnostics["unknown_words"].sum(), rows)


def measure_policy(experience: Experience, meter: Meter, has_reference: bool = True) -> None:
    """Adds KL (k3, nats per token), where there is a reference, and entropy (nats per token)."""
    e = experience
    if has_reference:
        meter.add_masked("train/kl", kl_k3(e.logprobs_BT, e.ref_logprobs_BT), e.mask_BT)
    meter.add_masked("train/entropy", e.entropy_BT, e.mask_BT)


def measure_lengths(rollout: Rollout, meter: Meter) -> None:
    """Adds lengths (tokens, end-of-text included)."""
    meter.add("train/response_tokens", rollout.mask_BT.sum(), len(rollout.texts))
    meter.add("train/response_truncated", rollout.truncated_B.sum(), len(rollout.texts))


def measure_answers(answers: Answers, split: str, spec: RewardSpec, meter: Meter) -> None:
    """Adds a validation set's accuracy (:func:`pgsrm_plugin.reward.accuracy`), semantic term and reward."""
    output, scored_B = answers.output, answers.output.scored_B
    meter.add(f"val/{split}/accuracy", accuracy(output, answers.samples, spec).sum(), len(answers.texts))
    meter.add_masked(f"val/{split}/reward", output.total_B, scored_B)
    semantic = semantic_term(spec)
    if semantic is not None:
        meter.add_masked(f"val/{split}/{SEMANTIC}", output.terms[semantic], scored_B)


def register_answers(split: str, spec: RewardSpec, meter: Meter) -> None:
    """Names what :func:`measure_answers` adds, for a process that has no rows of the set."""
    for name in ("accuracy", "reward", *((SEMANTIC,) if semantic_term(spec) else ())):
        meter.add(f"val/{split}/{name}", 0.0, 0.0)


def semantic_term(spec: RewardSpec) -> str | None:
    """The term called ``semantic``, else the first of that kind."""
    if SEMANTIC in spec.terms:
        return SEMANTIC
    return next((name for name, term in spec.terms.items() if isinstance(term, Semantic)), None)


def _samples(records: Sequence[Record], texts: Sequence[str], groups: Sequence[int]) -> list[RewardSample]:
    rows = zip(records, texts, groups, strict=True)
    return [replace(record.sample(text), group=group) for record, text, group in rows]


def _groups(rows: int, group_size: int, guided: Sequence[bool] = ()) -> list[int]:
    if not guided:
        return [row // group_size for row in range(rows)]
    return [2 * (row // group_size) + own for row, own in enumerate(guided)]
