"""The LightningModule: rollout, reward, update; everything with mathematics in it is elsewhere."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.nn.parallel import DistributedDataParallel

from pgsrm_lightning import checkpoint as ckpt
from pgsrm_lightning.algorithms import ALGORITHMS, Algorithm, AlgorithmConfig
from pgsrm_lightning.checks import check_one_process, check_trainer
from pgsrm_lightning.config import LoraConfig, SamplingConfig
from pgsrm_lightning.data import PromptBatch
from pgsrm_lightning.distributed import rank, world_size
from pgsrm_lightning.engines.engine import keyed_seed
from pgsrm_lightning.losses import adapt_kl_coef
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.experience import Budget, look_back, split_rows
from pgsrm_lightning.rollout.generate import Rollout, encode_prompt, engine_of, generate
from pgsrm_lightning.rollout.guidance import Guidance
from pgsrm_lightning.rollout.mismatch import corrected
from pgsrm_lightning.rollout.model_credit import token_models
from pgsrm_lightning.rollout.own_likelihoods import ChildScorer, check_room, ema_weights, tokens_of
from pgsrm_lightning.rollout.scoring import (
    Answers,
    measure_answers,
    measure_lengths,
    measure_policy,
    measure_rewards,
    register_answers,
    score,
)
from pgsrm_lightning.rollout.steering import Steering
from pgsrm_lightning.rollout.text_credit import text_credit
from pgsrm_lightning.update import Updater
from pgsrm_plugin import RewardSpec, SemanticReward, load_spec
from pgsrm_plugin.crosscheck import Use, check_use
from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.policy.base import Weights
from pgsrm_plugin.reward import RewardPair
from pgsrm_plugin.stopping import Stopped, with_patience

Spec = str | Path | RewardSpec | SemanticReward
SIGNAL_PATIENCE_S = 60.0
"""What a signal's end may take beyond a moment: the pass under way, which no signal cuts short, and a checkpoint."""
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
        gradient_checkpointing: compute each layer again in the backward pass instead of keeping what it computed.
        checkpoint_on_signal: leave a checkpoint of the last whole step when a signal ends the training, where the
            trainer writes checkpoints. Steps of several updates then keep a copy of the trained weights and of the
            optimizer's state in host memory.

    Attributes:
        engine: what draws responses.
        left_checkpoint: what a signal has left, if one has.

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
        gradient_checkpointing: bool = False,
        checkpoint_on_signal: bool = True,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.seed, self.sampling = seed, sampling or SamplingConfig()
        self.engine = engine_of(self.sampling)
        # Plain objects, no submodules: the encoder must stay out of every optimizer and checkpoint.
        self._specs = _read(spec), None if val_spec is None else _read(val_spec)
        self._rewards: RewardPair | None = None
        config = algorithm or ALGORITHMS[0]()
        specs = [_spec_of(each) for each in self._specs if each is not None]
        check_use(specs[0], _use(config), "model.spec")
        self.algorithm: Algorithm[Any] = config.build()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(keyed_seed(seed))
            self.policy = Policy(
                child,
                revision,
                lora,
                value_head=config.uses_values,
                reference=config.has_reference or any("frozen" in spec.policy_terms.values() for spec in specs),
                gradient_checkpointing=gradient_checkpointing,
            )
        if self.sampling.max_new_tokens >= self.policy.context:
            raise SpecError(
                f"model.sampling.max_new_tokens: {self.sampling.max_new_tokens} leave no room for a prompt in this "
                f"child's context of {self.policy.context} tokens"
            )
        self.ema = ema_weights(self.policy, specs)
        self.guidance = None if config.guides is None else Guidance(config.guides, config.group_size)
        self.token_models = token_models(specs[0], child, revision, self.policy)
        self.steering = Steering(config, specs[0], self.policy)
        self.fingerprint = ckpt.fingerprint(self.policy, config.name, lora) | {"beside the policy": ckpt.beside(self)}
        self.checkpoint_on_signal = checkpoint_on_signal
        self.left_checkpoint: str | None = None
        self._before_step: ckpt.LastStep | None = None
        self._changing = False
        self.steps_done = 0
        self.episodes = 0
        self.kl_coef = config.kl.coef
        self.last_answers: Answers | None = None
        self._val_meter: Meter | None = None

    def configure_callbacks(self) -> list[Callback]:
        """None. Lightning asks here before anything else, so a trainer that does not go with the module is refused.

        Raises:
            SpecError: see :mod:`pgsrm_lightning.checks`.
        """
        check_trainer(self.trainer)
        if self.sampling.settings is not None:
            check_one_process(self.trainer)
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
        reward, scorer = self.reward(split), self._scorer()
        reward.check_references(samples, lambda i: records[i].label, scorer)
        for record in records:
            prompt = encode_prompt(record, self.policy, self.sampling)
            if self.guidance is not None and split == "train":
                self.guidance.check(record)
            if reward.spec.policy_terms:
                given = self.guidance.config.max if self.guidance is not None and split == "train" else 0
                check_room(record, len(prompt) + given + self.sampling.max_new_tokens, scorer, reward.spec)

    def answer(self, records: Sequence[Record], split: str = "val") -> Answers:
        """Greedy answers to the given rows, scored."""
        rollout = self._generate(records, None)
        return self._score(split, records, rollout, 1, len(records))

    def training_step(self, batch: PromptBatch, batch_idx: int) -> None:
        """Rollout, reward, update, log.

        A SIGTERM ends it between two tokens or micro-batches, and under `pgsrm train` Ctrl-C does, too. Where the
        trainer writes checkpoints, one of the last whole step is left (:attr:`left_checkpoint`); from it the same step
        is taken again.

        Raises:
            SIGTERMException: the trainer has heard a SIGTERM.
        """
        self._before_step, self._changing = None, False
        try:
            with with_patience(SIGNAL_PATIENCE_S):
                self._take_step(batch)
        except (Stopped, SIGTERMException):
            with with_patience(SIGNAL_PATIENCE_S):
                self._leave_checkpoint()
            raise

    def _leave_checkpoint(self) -> None:
        trainer = self.trainer
        if not (self.checkpoint_on_signal and self.steps_done and trainer.checkpoint_callback) or world_size() > 1:
            return
        if self._changing:
            if self._before_step is None:
                return  # within the only update of the step: neither the last step's state nor the next one's
            self._before_step.restore()
        folder = Path(trainer.log_dir or trainer.default_root_dir) / "checkpoints"
        path = folder / f"stopped-step={self.steps_done}.ckpt"
        loop = trainer.fit_loop.epoch_loop
        loop._batches_that_stepped -= 1  # a resume counts one up: Lightning saves before it has counted the step
        try:
            trainer.save_checkpoint(path)
        finally:
            loop._batches_that_stepped += 1
        self.left_checkpoint = str(path)

    def _keep_last_step(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None) -> None:
        """Before the first update of a step: with several, a signal between them needs what the step started from."""
        config = self.algorithm.config
        several = config.epochs * config.minibatches > 1
        if several and self.checkpoint_on_signal and world_size() == 1 and self.trainer.checkpoint_callback:
            trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            self._before_step = ckpt.LastStep(trained, optimizer, scaler)
        self._changing = True

    def _take_step(self, batch: PromptBatch) -> None:
        config, meter, clock = self.algorithm.config, Meter(self.device), time.perf_counter
        if batch.step != self.steps_done:
            raise AssertionError(f"the data are of step {batch.step}, but {self.steps_done} steps are done")
        records = [record for record in batch.records for _ in range(config.group_size)]
        times = [clock()]
        given = None if self.guidance is None else self.guidance.beginnings(records, self.policy)
        rollout = self._generate(records, self._keyed(0), given)
        times.append(clock())
        rows = -(-len(records) // config.minibatches)
        answers = self.last_answers = self._score("train", records, rollout, config.group_size, rows)
        times.append(clock())
        budget = None if config.micro_batch_tokens is None else Budget.of(rollout, config.micro_batch_tokens)
        chunks = split_rows(torch.arange(len(records)), config.minibatches, config.micro_batch_size, budget)
        parts = [index for minibatch in chunks for index in minibatch]
        step, seed = self.steps_done, self._keyed(2)
        output = self.steering(answers.output, answers.groups, rollout, parts, self.policy, step, seed, meter)
        scored_B, temperature = output.scored_B, self.sampling.temperature
        steered = clock()
        credit_BT = self._credit(answers, rollout, scored_B, parts, meter)
        credit_s = clock() - steered
        later, reference = config.looks_back_in_update, config.has_reference
        passes = {"under_policy": not later, "under_reference": reference}
        seen = look_back(self.policy, rollout, scored_B, temperature, chunks, self._go_on, **passes)
        seen = self.algorithm.targets(replace(seen, credit_BT=credit_BT), output, answers.groups, self.kl_coef)
        measure_rewards(answers, meter)
        if self.guidance is not None:
            self.guidance.measure(answers.output, meter)
        measure_lengths(rollout, meter)
        if not later:
            measure_policy(seen, meter, reference)
            seen = corrected(seen, self.sampling.importance_sampling, meter)
        self.algorithm.measure(seen, meter)
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        with self._without_ddp_sync():
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)
            tools = (optimizer, self.manual_backward, scaler, self._go_on)
            kinds = {"looks_back": later, "has_reference": reference}
            correction = self.sampling.importance_sampling
            updater = Updater(
                self.policy, self.algorithm, *tools, budget=budget, importance_sampling=correction, **kinds
            )
            updater.before_first_step = lambda: self._keep_last_step(optimizer, scaler)
            updater.run(seen, temperature, self.kl_coef, self._keyed(1), meter)
        times.append(clock())
        for name, start, end in zip(("rollout", "reward", "update"), times, times[1:], strict=False):
            meter.add(f"time/{name}_s", end - start - (credit_s if name == "update" else 0.0))
        if self.token_models is not None:
            self.token_models.learn(meter, self._go_past_return)
            credit_s += clock() - times[-1]
        whole_s = clock() - times[0]
        if "policy/seconds" in output.stats:
            meter.add("time/policy_s", output.stats["policy/seconds"])
            meter.add("time/policy_share", output.stats["policy/seconds"] / whole_s)
        if self.reward("train").spec.credit is not None:
            meter.add("time/credit_s", credit_s)
            meter.add("time/credit_share", credit_s / whole_s)
        meter.add("episodes", len(records), float(rank() == 0))  # a sum over the processes
        self._finish_step(meter)

    def _credit(
        self,
        answers: Answers,
        rollout: Rollout,
        scored_B: torch.Tensor,
        parts: Sequence[torch.Tensor],
        meter: Meter,
    ) -> torch.Tensor | None:
        reward = self.reward("train")
        if reward.spec.credit is None:
            return None
        if self.token_models is not None:
            credited: torch.Tensor | None = self.token_models(rollout, answers.output, scored_B, parts, meter)
            return credited
        return text_credit(reward, answers.samples, rollout, scored_B, self.policy.tokenizer, meter)

    def _go_past_return(self) -> None:
        """From here until the step is done a signal leaves no checkpoint: nothing gives back all that changes."""
        self._before_step = None

    def _finish_step(self, meter: Meter) -> None:
        self._go_past_return()
        self.steering.commit(self.steps_done)
        if self.guidance is not None:
            self.guidance.commit()
        if self.ema is not None:
            self.ema.update()
        kl, means = self.algorithm.config.kl, meter.means()
        self.steps_done += 1
        self._before_step, self._changing = None, False
        self.episodes += round(means.pop("episodes"))
        means |= {"train/kl_coef": self.kl_coef, "train/episodes": float(self.episodes)}
        for name, value in means.items():
            self.log(name, value, prog_bar=name in SHOWN, batch_size=1)
        if kl.schedule == "adaptive" and "train/kl" in means:
            self.kl_coef = adapt_kl_coef(self.kl_coef, means["train/kl"], kl.target)
        # Optimizer steps are taken without Lightning's wrapper; this counts one for the whole training step.
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        progress.increment_completed()

    def on_validation_epoch_start(self) -> None:
        """Forgets the last validation."""
        self._val_meter = Meter(self.device)

    def validation_step(self, batch: PromptBatch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Answers]:
        """Greedy answers to a validation batch; callbacks get them as ``answers``, where the batch has rows."""
        reward, meter = self.reward("val"), self._val_meter
        assert meter is not None
        register_answers(batch.split, reward.spec, meter)
        if not batch.records:
            return {}
        answers = self.answer(batch.records)
        measure_answers(answers, batch.split, reward.spec, meter)
        return {"answers": answers}

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
        ckpt.leave_out_frozen(checkpoint, self.policy)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses another model's checkpoint, before any weight is loaded, and takes up the run's state."""
        state = ckpt.read_state(checkpoint, self.fingerprint)
        self.steps_done, self.episodes, self.kl_coef = state["step"], state["episodes"], state["kl_coef"]
        ckpt.put_back_frozen(checkpoint, self)

    def _score(self, split: str, records: Sequence[Record], rollout: Rollout, group_size: int, rows: int) -> Answers:
        reward = self.reward(split)
        tokens = tokens_of(rollout) if reward.spec.policy_terms else None
        guided = self.guidance.is_guided(len(records)) if self.guidance is not None and split == "train" else ()
        return score(reward, records, rollout.texts, group_size, tokens, self._scorer(rows), guided)

    def _scorer(self, rows: int | None = None) -> ChildScorer:
        """What answers for the child.

        Args:
            rows: of one forward, where the algorithm's settings say none.
        """
        config = self.algorithm.config
        rows = (
            rows if config.micro_batch_size is None and config.micro_batch_tokens is None else config.micro_batch_size
        )
        tokens = config.micro_batch_tokens
        return ChildScorer(self.policy, self.sampling.temperature, self.ema, rows, tokens, self._go_on)

    def _generate(
        self, records: Sequence[Record], seed: int | None, given: Sequence[tuple[int, ...]] | None = None
    ) -> Rollout:
        return generate(self.policy, records, self.sampling, self.device, seed, self._go_on, self.engine, given)

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
        weights=dict.fromkeys(get_args(Weights), ""),
    )


def _pair(train: RewardSpec | SemanticReward, val: RewardSpec | SemanticReward | None) -> RewardPair:
    first = train if isinstance(train, SemanticReward) else SemanticReward(train)
    if isinstance(val, SemanticReward):
        return RewardPair(first, val.for_validation())
    return RewardPair(first, (first if val is None else first.with_spec(val)).for_validation())
