"""The trainer mode ``pgsrm_sync``: verl's synchronous trainer with the reward between rollout and old_log_prob."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from omegaconf import DictConfig

from pgsrm_plugin.errors import PgsrmError
from pgsrm_plugin.types import RewardOutput
from pgsrm_verl import compat
from pgsrm_verl.colocated.actor_scorer import ActorScorer, context_of
from pgsrm_verl.colocated.metrics import POLICY_SECONDS
from pgsrm_verl.colocated.rewards import ColocatedRewards
from pgsrm_verl.colocated.rollouts import (
    Rollouts,
    add_to_advantages,
    fetch,
    mask_unscored,
    store,
    store_extra,
)
from pgsrm_verl.colocated.token_credit import SECONDS, TOKEN_REWARDS
from pgsrm_verl.columns import logged_rows

logger = logging.getLogger(__name__)
_POLL_SECONDS = 0.25
"""Between looks for finished responses; verl's 2 s are longer than a small step takes."""


@compat.register_trainer("pgsrm_sync")
class PgsrmSyncTrainer(compat.PPOTrainerSync):
    """Scores a whole step's responses at once while the rollout sleeps, in training and in validation.

    verl asks a trainer for the rewards of a batch (``_compute_reward_colocate``) where no reward workers stand ready
    during the rollout; so this one has none, and answers with :class:`~pgsrm_plugin.SemanticReward`.
    """

    _above: Mapping[str, torch.Tensor] = {}
    """Of this step, by key: what the advantage of each token is above its response's."""

    def __init__(self, config: DictConfig) -> None:
        # verl's own variable; at its default, WARN, a log would not say where the encoder is and what it takes.
        logging.getLogger("pgsrm_verl").setLevel(os.getenv("VERL_LOGGING_LEVEL", "INFO"))
        try:
            self._rewards = ColocatedRewards(config)
        except PgsrmError as error:
            logger.error("pgsrm-plugin cannot give rewards: %s", error)
            raise
        super().__init__(config)

    def _build_replay_buffer(self) -> Any:
        # The base class takes every mode that is not called "sync" for an asynchronous one.
        self.trainer_mode = "sync"
        buffer = super()._build_replay_buffer()
        if hasattr(buffer, "poll_interval"):  # the user's own sampler may have none
            buffer.poll_interval = min(buffer.poll_interval, _POLL_SECONDS)
        return buffer

    def _setup(self) -> None:
        with _reward_loop(self._rewards):
            super()._setup()
        # Now all others have taken their memory and the rollout sleeps: what is free is the encoder's to take.
        try:
            self._rewards.start(self._training_pool())
        except PgsrmError as error:
            logger.error("pgsrm-plugin cannot give rewards: %s", error)
            raise

    @functools.cached_property
    def _actor(self) -> ActorScorer:
        return ActorScorer(self, context_of(self.config.actor_rollout_ref.model))

    def _training_pool(self) -> Any:
        actor = next(role for role in self.role_worker_mapping if str(role).startswith("actor"))
        return self.resource_pool_manager.get_resource_pool(actor)

    def _compute_metrics(
        self, batch: Any, metrics: dict[str, Any], timing_raw: dict[str, float], global_steps: int, epoch: int
    ) -> None:
        for seconds, share in ((SECONDS, "pgsrm/credit_share"), (POLICY_SECONDS, "pgsrm/policy_share")):
            if seconds in metrics and timing_raw.get("step"):
                metrics[share] = metrics[seconds] / timing_raw["step"]
        super()._compute_metrics(batch, metrics, timing_raw, global_steps=global_steps, epoch=epoch)

    def _credit(
        self, batch: Any, rollouts: Rollouts, output: RewardOutput, metrics: dict[str, float]
    ) -> list[Any] | None:
        """The tokens' credit where it is part of their rewards; where it is one of their advantages, it is kept."""
        self._above = {}
        credit = self._rewards.spec("train").credit
        if credit is None:
            return None
        rows, found = self._rewards.credit(rollouts, output, self.tokenizer)
        metrics |= found
        if not credit.alpha:
            return None
        if self.config.algorithm.adv_estimator in TOKEN_REWARDS:
            return rows
        self._above = dict(zip(batch.keys, rows, strict=True))
        return None

    def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any:
        computed = super()._compute_advantage(batch, metrics)
        add_to_advantages(batch, self._above)
        return computed

    def _compute_reward_colocate(self, batch: Any, metrics: dict[str, Any] | None = None) -> Any:
        if not batch.keys:
            return batch
        partition, rewards = batch.partition_id, self._rewards
        asks = bool(rewards.spec(partition).policy_terms)
        rollouts = fetch(batch, rewards.reader, self.tokenizer, rewards.settings.turns, with_tokens=asks)
        output, found = rewards.score(rollouts, partition, self._actor if asks else None)
        credit = self._credit(batch, rollouts, output, found) if partition != "val" else None
        store(batch, rollouts, output, credit)
        if partition == "val":  # rows' numbers are read in validation only, and only training has a loss
            rows = logged_rows(output, rollouts.samples, self._rewards.spec(partition))
            store_extra(batch, [{name: value for name, value in row.items() if name != "reward"} for row in rows])
        else:
            mask_unscored(batch, output)
        if metrics is not None:
            metrics.update(found)
        return batch


@contextlib.contextmanager
def _reward_loop(rewards: ColocatedRewards) -> Iterator[None]:
    """verl makes its reward loop and its workers in the middle of its setup; here ``rewards`` takes that place."""
    module = compat.trainer_base
    original = module.RewardLoopManager
    module.RewardLoopManager = lambda config, rm_resource_pool=None: rewards
    try:
        yield
    finally:
        module.RewardLoopManager = original
