"""The rewards of the colocated trainer: one for training, one for validation, and their encoders."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from pgsrm_plugin.encoders import EncoderSection
from pgsrm_plugin.encoders.hf import HfEncoderSpec
from pgsrm_plugin.encoders.vocabulary import vocabulary_here
from pgsrm_plugin.policy.base import PolicyScorer
from pgsrm_plugin.reward import RewardPair
from pgsrm_plugin.spec import RewardSpec, load_spec
from pgsrm_plugin.types import Encoder, RewardOutput
from pgsrm_verl import compat
from pgsrm_verl.colocated import memory
from pgsrm_verl.colocated.checks import check_config, check_policy_terms, check_training_spec
from pgsrm_verl.colocated.counting import CountingEncoder, counting
from pgsrm_verl.colocated.group import WorkerGroupEncoder
from pgsrm_verl.colocated.metrics import GIB, reward_metrics
from pgsrm_verl.colocated.rollouts import Rollouts
from pgsrm_verl.colocated.token_credit import step_credit
from pgsrm_verl.datafiles import look_through
from pgsrm_verl.rows import RowReader
from pgsrm_verl.settings import read_settings

logger = logging.getLogger(__name__)


class ColocatedRewards:
    """Built before anything starts, so that a mistake is found then; :meth:`start` brings the encoders.

    It stands where verl keeps its reward loop: without workers to ask during the rollout, verl asks the trainer for the
    whole batch after it.

    Raises:
        SpecError: a setting or a spec is wrong, or the trainer mode cannot do what the config asks for.
        DataError: a row of the data files lacks what the reward compares with; the message names it.
    """

    reward_loop_worker_handles = None
    reward_model_manager = None

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.settings = read_settings(config)
        check_config(config)
        name = config["reward"]["reward_manager"]["name"]
        self.reader = RowReader.from_settings(self.settings, "semantic" if name == "semantic" else "pgsrm")
        self.specs = {"train": load_spec(self.settings.spec)}
        check_training_spec(self.specs["train"], config, self.settings.spec)
        self.specs["val"] = load_spec(self.settings.val_spec) if self.settings.val_spec else self.specs["train"]
        check_policy_terms(self.specs["val"], config, self.settings.val_spec or self.settings.spec)
        known = _check_rows(config, self.reader, self.specs)
        self.reader = replace(self.reader.for_specs(self.specs.values()), known=known)
        self._rollout_share = _rollout_share(config["actor_rollout_ref"]["rollout"])
        self._device_name = config["trainer"]["device"]
        self._workers: Any = None
        self._loaded = 0
        self._pair: RewardPair | None = None

    def start(self, pool: Any) -> None:
        """Loads the encoders, on the GPUs of verl's resource pool where they go there.

        Raises:
            SpecError: an encoder cannot be loaded, or does not fit into the memory.
            ScorerError: an encoder fails its self-test.
        """
        val = self.specs["val"] if self.settings.val_spec else None
        self._pair = RewardPair.build(
            self.specs["train"], val, encoder=lambda section: counting(self._build(section, pool))
        )

    @property
    def pair(self) -> RewardPair:
        """The rewards; there are none before :meth:`start`."""
        assert self._pair is not None
        return self._pair

    def spec(self, partition: str) -> RewardSpec:
        """The spec of TransferQueue's partition, ``train`` or ``val``."""
        return self.specs["val" if partition == "val" else "train"]

    def score(
        self, rollouts: Rollouts, partition: str, policy: PolicyScorer | None = None
    ) -> tuple[RewardOutput, dict[str, float]]:
        """Rewards of a whole step, and verl's metrics of them.

        Args:
            policy: what answers for the actor, where the reward asks it.

        Raises:
            ScorerError: the encoder failed; nothing is scored.
            UnscorableError: a response is unscorable and the spec says ``raise``.
        """
        reward = self.pair.of(partition == "val")
        encoder = reward.encoder
        before = encoder.tokens if isinstance(encoder, CountingEncoder) else 0
        output = reward.score(rollouts.samples, rollouts.label, policy)
        metrics = reward_metrics(output)
        if isinstance(encoder, CountingEncoder) and metrics:
            metrics["pgsrm/encoder_tokens"] = float(encoder.tokens - before)
            if isinstance(encoder.inner, WorkerGroupEncoder):
                metrics["pgsrm/encoder_parameters_gib"] = encoder.inner.parameter_bytes / GIB
                metrics["pgsrm/encoder_memory_gib"] = encoder.inner.peak_bytes / GIB
        return output, metrics

    def credit(
        self, rollouts: Rollouts, output: RewardOutput, tokenizer: Any
    ) -> tuple[list[torch.Tensor], dict[str, float]]:
        """What the advantage of each training row's tokens is above the row's, and verl's metrics of that.

        Raises:
            ScorerError: the encoder failed.
        """
        return step_credit(self.pair.train, rollouts, output.scored_B, tokenizer, self.settings.turns)

    def _build(self, section: EncoderSection, pool: Any) -> Encoder:
        spec = memory.shardable(section)
        if spec is None:
            return section.build()
        if self.settings.placement == "cpu":
            return spec.model_copy(update={"device": "cpu"}).build()
        if self._workers is None:
            # Each GPU of the pool has room for several processes; verl leaves one of the places to a reward model.
            self._workers = compat.RayWorkerGroup(
                resource_pool=pool,
                ray_cls_with_init=compat.RayClassWithInitArgs(cls=_remote_worker()),
                name_prefix="pgsrm_encoder",
                device_name=self._device_name,
            )
        self._check_memory(spec)
        name, self._loaded = f"encoder{self._loaded}", self._loaded + 1
        loaded = self._workers.load(name, spec, self.settings.placement, self.settings.offload)
        logger.info(
            "encoder %s: %s on %d ranks, %d of %d bytes of parameters each",
            loaded[0].identity,
            self.settings.placement,
            len(loaded),
            max(rank.own_bytes for rank in loaded),
            loaded[0].whole_bytes,
        )
        return WorkerGroupEncoder(self._workers, name, loaded, vocabulary_here(spec))

    def _check_memory(self, spec: HfEncoderSpec) -> None:
        surveys, settings = self._workers.survey(spec), self.settings
        budget = settings.memory_budget_gb
        total = min(survey.total_bytes for survey in surveys)
        device = memory.Device(
            free_bytes=min(survey.free_bytes for survey in surveys),
            total_bytes=total,
            rollout_bytes=int(self._rollout_share * total) if self._device_name != "cpu" else 0,
            budget_bytes=None if budget is None else int(budget * GIB),
        )
        plan = memory.plan_memory(surveys[0].size, spec, settings.placement, settings.offload, len(surveys))
        memory.check_memory(plan, device, spec, settings.placement)


def _check_rows(config: Mapping[str, Any], reader: RowReader, specs: Mapping[str, RewardSpec]) -> frozenset[str] | None:
    """Training and validation rows each against their own spec; the prompts of both, where they must be recognised."""
    data, known = config["data"], []
    for partition, spec in specs.items():
        files = {"prompt_key": data.get("prompt_key"), f"{partition}_files": data.get(f"{partition}_files")}
        checked = spec.alone() if partition == "val" else spec
        known.append(look_through({"data": files}, reader, checked).known)
    return frozenset().union(*known) if None not in known else None  # type: ignore[arg-type]


def _rollout_share(rollout: Mapping[str, Any]) -> float:
    """The share of the GPU that the rollout takes back when it wakes up."""
    return float(rollout.get("gpu_memory_utilization") or 0) if rollout.get("free_cache_engine") else 0.0


def _remote_worker() -> Any:
    import ray

    from pgsrm_verl.colocated.worker import EncoderWorker

    return ray.remote(EncoderWorker)
