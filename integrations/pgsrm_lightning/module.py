"""The LightningModule: rollout, reward, update; everything with mathematics in it is elsewhere."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.nn.parallel import DistributedDataParallel

from pgsrm_lightning import checkpoint as ckpt
from pgsrm_lightning.algorithms import ALGORITHMS, Algorithm, AlgorithmConfig
from pgsrm_lightning.checks import check_trainer
from pgsrm_lightning.config import LoraConfig, SamplingConfig
from pgsrm_lightning.data import PromptBatch
from pgsrm_lightning.distributed import rank
from pgsrm_lightning.losses import adapt_kl_coef
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.experience import look_back, split_rows
from pgsrm_lightning.rollout.generate import encode_prompt, generate, keyed_seed
from pgsrm_lightning.rollout.scoring import (
    Answers,
    measure_answers,
    measure_rewards,
    measure_rollout,
    register_answers,
    score,
)
from pgsrm_lightning.update import Updater
from pgsrm_plugin import RewardSpec, SemanticReward, load_spec
from pgsrm_plugin.crosscheck import Use, check_use
from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.reward import RewardPair

Spec = str | Path | RewardSpec | SemanticReward
SHOWN = ("train/reward", "train/kl")
"""What the progress bar shows, besides the accuracies."""
INTENDED = (
    r".*module\(s\) in eval mode at the start of training",  # dropout stays off
    r".*Total length of `list` across ranks is zero",  # no validation set
    r"(?s).*ModelCheckpoint with manual optimization",  # checkpoints hold the state after a step
)
"""Lightning's warnings about what is meant to be so."""


class RLModule(LightningModule):
    """Trains a child with PPO, GRPO or REINFORCE on a semantic reward.

    One ``training_step`` is a whole step: rollout, reward, epochs of minibatches. ``trainer.global_step`` counts these,
    so ``max_steps`` and ``every_n_train_steps`` do too. All randomness of step t is a function of (seed, t, rank), so a
    run resumed from a checkpoint takes the same next step as one that was never interrupted.

    Args:
        child: folder or hub id of a causal language model.
        spec: the training reward: a spec file, a spec, or a reward that is already built.
        algorithm: what learns, and how.
        val_spec: another reward for validation, with the training reward's encoder where both specs have the same
            ``encoder`` section; default: the training reward. Validation always scores with ``aggregate: sum``.
        revision: commit of the child's hub repository.

    Raises:
        SpecError: child or spec cannot be loaded, or spec and algorithm do not go together.
    """

    def __init__(
        self,
        child: str,
        spec: Spec,
        algorithm: AlgorithmConfig | None = None,
        sampling: SamplingConfig | None = None,
        seed: int = 0,
        *,
        val_spec: Spec | None = None,
        lora: LoraConfig | None = None,
        revision: str | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.seed, self.sampling = seed, sampling or SamplingConfig()
        # Plain objects, no submodules: the encoder must stay out of every optimizer and checkpoint.
        self._specs = _read(spec), None if val_spec is None else _read(val_spec)
        self._rewards: RewardPair | None = None
        config = algorithm or ALGORITHMS[0]()
        check_use(_spec_of(self._specs[0]), _use(config), "model.spec")
        self.algorithm: Algorithm[Any] = config.build()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(keyed_seed(seed))
            self.policy = Policy(child, revision, lora, value_head=config.uses_values)
        if self.sampling.max_new_tokens >= self.policy.context:
            raise SpecError(
                f"model.sampling.max_new_tokens: {self.sampling.max_new_tokens} leave no room for a prompt in this "
                f"child's context of {self.policy.context} tokens"
            )
        self.fingerprint = ckpt.fingerprint(self.policy, config.name, lora)
        self.steps_done = 0
        self.episodes = 0
        self.kl_coef = config.kl.coef
        self.last_answers: Answers | None = None
        self._val_meter: Meter | None = None

    def configure_callbacks(self) -> list[Callback]:
        """None. Lightning asks here before anything else, so a trainer that does not go with the module is refused.

        Raises:
            SpecError: see :func:`~pgsrm_lightning.checks.check_trainer`.
        """
        check_trainer(self.trainer)
        return []

    def setup(self, stage: str) -> None:
        """Builds the rewards, before any step is taken."""
        for message in INTENDED:
            warnings.filterwarnings("ignore", message=message)
        self.reward("train")

    def reward(self, split: str) -> SemanticReward:
        """The reward of ``train`` or ``val``. Built once; one encoder serves both where their specs have the same."""
        if self._rewards is None:
            self._rewards = _pair(*self._specs)
        return self._rewards.of(split == "val")

    def check_records(self, records: Sequence[Record], split: str) -> None:
        """Refuses rows that cannot be presented to the child or scored.

        Raises:
            DataError: the message names file, row and field.
        """
        samples = [record.sample("x") for record in records]
        self.reward(split).check_references(samples, lambda i: records[i].label)
        for record in records:
            encode_prompt(record, self.policy, self.sampling)

    def answer(self, records: Sequence[Record], split: str = "val") -> Answers:
        """Greedy answers to the given rows, scored."""
        rollout = generate(self.policy, records, self.sampling, self.device, seed=None, go_on=self._go_on)
        return score(self.reward(split), records, rollout.texts)

    def training_step(self, batch: PromptBatch, batch_idx: int) -> None:
        """Rollout, reward, update, log.

        A SIGTERM ends it between two tokens or micro-batches: from the last checkpoint, the same step is taken again.

        Raises:
            SIGTERMException: the trainer has heard a SIGTERM.
        """
        config, meter, clock = self.algorithm.config, Meter(self.device), time.perf_counter
        if batch.step != self.steps_done:
            raise AssertionError(f"the data are of step {batch.step}, but {self.steps_done} steps are done")
        records = [record for record in batch.records for _ in range(config.group_size)]
        times = [clock()]
        rollout = generate(self.policy, records, self.sampling, self.device, self._keyed(0), self._go_on)
        times.append(clock())
        answers = self.last_answers = score(self.reward("train"), records, rollout.texts, config.group_size)
        times.append(clock())
        chunks = split_rows(torch.arange(len(records)), config.minibatches, config.micro_batch_size)
        scored_B, temperature = answers.output.scored_B, self.sampling.temperature
        seen = look_back(self.policy, rollout, scored_B, temperature, chunks, self._go_on)
        seen = self.algorithm.targets(seen, answers.output, answers.groups, self.kl_coef)
        measure_rewards(answers, meter)
        measure_rollout(rollout, seen, meter)
        self.algorithm.measure(seen, meter)
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        with self._without_ddp_sync():
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)
            updater = Updater(self.policy, self.algorithm, optimizer, self.manual_backward, scaler, self._go_on)
            updater.run(seen, temperature, self.kl_coef, self._keyed(1), meter)
        times.append(clock())
        for name, start, end in zip(("rollout", "reward", "update"), times, times[1:], strict=False):
            meter.add(f"time/{name}_s", end - start)
        meter.add("episodes", len(records), float(rank() == 0))  # a sum over the processes
        self._finish_step(meter)

    def _finish_step(self, meter: Meter) -> None:
        kl, means = self.algorithm.config.kl, meter.means()
        self.steps_done += 1
        self.episodes += round(means.pop("episodes"))
        means |= {"train/kl_coef": self.kl_coef, "train/episodes": float(self.episodes)}
        for name, value in means.items():
            self.log(name, value, prog_bar=name in SHOWN, batch_size=1)
        if kl.schedule == "adaptive":
            self.kl_coef = adapt_kl_coef(self.kl_coef, means["train/kl"], kl.target)
        # Optimizer steps are taken without Lightning's wrapper; this counts one for the whole training step.
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        progress.increment_completed()

    def on_validation_epoch_start(self) -> None:
        """Forgets the last validation."""
        self._val_meter = Meter(self.device)

    def validation_step(self, batch: PromptBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Greedy answers to a validation batch."""
        reward, meter = self.reward("val"), self._val_meter
        assert meter is not None
        register_answers(batch.split, reward.spec, meter)
        if batch.records:
            measure_answers(self.answer(batch.records), batch.split, reward.spec, meter)

    def on_validation_epoch_end(self) -> None:
        """Logs accuracy, semantic term and reward of each validation set."""
        if self._val_meter is not None and self._val_meter.names:
            for name, value in self._val_meter.means().items():
                self.log(name, value, prog_bar=name.endswith("/accuracy"), batch_size=1, sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW without weight decay: the language model at ``lr_actor``, the value head at ``lr_critic``."""
        return torch.optim.AdamW(self.algorithm.config.parameter_groups(self.policy), weight_decay=0.0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the run's own state; leaves out what no step changes (with LoRA, the base model)."""
        checkpoint[ckpt.KEY] = {
            "fingerprint": self.fingerprint,
            "step": self.steps_done,
            "episodes": self.episodes,
            "kl_coef": self.kl_coef,
        }
        for name in ckpt.frozen_names(self.policy):
            checkpoint["state_dict"].pop(f"policy.{name}", None)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses another model's checkpoint, before any weight is loaded, and takes up the run's state."""
        state = ckpt.read_state(checkpoint, self.fingerprint)
        self.steps_done, self.episodes, self.kl_coef = state["step"], state["episodes"], state["kl_coef"]
        own = self.state_dict()
        frozen = {f"policy.{name}" for name in ckpt.frozen_names(self.policy)}
        checkpoint["state_dict"] |= {name: own[name] for name in frozen}

    def _keyed(self, purpose: int) -> int:
        return keyed_seed(self.seed, self.steps_done, rank(), purpose)

    def _go_on(self) -> None:
        if self._trainer is not None and self._trainer.received_sigterm:
            raise SIGTERMException

    def _without_ddp_sync(self) -> contextlib.AbstractContextManager[None]:
        model = self.trainer.strategy.model
        return model.no_sync() if isinstance(model, DistributedDataParallel) else contextlib.nullcontext()


def _read(spec: Spec) -> RewardSpec | SemanticReward:
    return load_spec(spec) if isinstance(spec, str | Path) else spec


def _spec_of(spec: RewardSpec | SemanticReward) -> RewardSpec:
    return spec.spec if isinstance(spec, SemanticReward) else spec


def _use(config: AlgorithmConfig) -> Use:
    able = " or ".join(f"model.algorithm: {settings.name}" for settings in ALGORITHMS if settings.takes_advantages)
    own = f"model.algorithm: {config.name} makes its own of rewards; set {able}"
    return Use(
        own_advantages=None if config.takes_advantages else own,
        one_response=f"model.{config.name}.group_size is 1" if config.group_size == 1 else None,
        subtracts_mean=f"model.algorithm: {config.name} subtracts the group's mean"
        if config.takes_advantages
        else None,
    )


def _pair(train: RewardSpec | SemanticReward, val: RewardSpec | SemanticReward | None) -> RewardPair:
    first = train if isinstance(train, SemanticReward) else SemanticReward(train)
    if isinstance(val, SemanticReward):
        return RewardPair(first, val.for_validation())
    return RewardPair(first, (first if val is None else first.with_spec(val)).for_validation())
