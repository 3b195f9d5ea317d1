"""One training run of a demo on Lightning: what its page reads afterwards, and what it says while it goes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from pgsrm_lightning.algorithms import AlgorithmConfig
from pgsrm_lightning.callbacks import RolloutLog
from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_plugin import RewardSpec, SemanticReward, load_spec
from pgsrm_plugin.report import RunInfo, machine, versions, write_info
from pgsrm_plugin.spec.shipped import find_spec_file
from pgsrm_plugin.terms.exact_match import ExactMatch

PARTS = ("rollout", "reward", "update")
"""What a step's time goes into."""


@dataclass(frozen=True)
class OneRun:
    """A run's settings.

    Attributes:
        label: what the page calls its reward.
        spec: the shipped spec of that reward.
        folder: where the run's files go.
        prompts: folder of the prompt files, ``train.jsonl`` and one a name in ``sets``.
        sets: the validation sets.
        logged: answers of a step that are kept, and of each validation set.
    """

    label: str
    spec: str
    seed: int
    folder: Path
    child: str
    prompts: Path
    sets: Sequence[str]
    algorithm: AlgorithmConfig
    sampling: SamplingConfig
    prompts_per_step: int
    steps: int
    validate_every: int
    logged: int = 128


Tell = Callable[[int, Mapping[str, float]], None]
"""Called after each step with the steps done and the newest numbers."""


@dataclass
class StepTimes(Callback):
    """Times each step and tells of it.

    Attributes:
        seconds: of all steps by part.
        steps: of each step.
    """

    tell: Tell
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    steps: list[float] = field(default_factory=list)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        assert isinstance(module, RLModule)
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        for part in PARTS:
            self.seconds[part] += numbers[f"time/{part}_s"]
        self.steps.append(sum(numbers[f"time/{part}_s"] for part in PARTS))
        self.tell(module.steps_done, numbers)


def validation_spec() -> RewardSpec:
    """What the answers under every reward are measured with: PGSRM's semantic term; exact match is logged beside it."""
    spec = load_spec(find_spec_file("pgsrm"))
    terms = {**spec.terms, "exact_match": ExactMatch()}
    weights = {**{name: spec.weight(name) for name in spec.terms}, "exact_match": 0.0}
    return spec.model_copy(update={"name": "validation", "terms": terms, "weights": weights})


def train(run: OneRun, validation: SemanticReward, tell: Tell, watch: Sequence[Callback] = ()) -> list[float]:
    """Validation of the start, training, validation all along, rollouts at both ends, run.json last.

    Args:
        validation: of :func:`validation_spec`; its encoder serves the run's reward, too.
        watch: further callbacks.

    Returns:
        The seconds of each step.
    """
    started = time.perf_counter()
    spec_file = find_spec_file(run.spec)
    spec = load_spec(spec_file)
    module = RLModule(
        child=run.child,
        spec=SemanticReward(spec, validation.encoder if spec.encoder is not None else None),
        algorithm=run.algorithm,
        sampling=run.sampling,
        seed=run.seed,
        val_spec=validation,
    )
    data = PromptData(
        train=str(run.prompts / "train.jsonl"),
        val={name: str(run.prompts / f"{name}.jsonl") for name in run.sets},
        prompts_per_step=run.prompts_per_step,
        steps=run.steps,
    )
    times = StepTimes(tell)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=run.steps,
        val_check_interval=min(run.validate_every, run.steps),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=CSVLogger(run.folder, name="", version="", flush_logs_every_n_steps=run.validate_every),
        callbacks=[*watch, RolloutLog(every=max(1, run.steps // 4), rows=run.logged), times],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    if run.steps % run.validate_every and run.steps > run.validate_every:  # else the last step was looked at
        trainer.validate(module, data, verbose=False)
    seconds = {"total": time.perf_counter() - started, **times.seconds}
    write_info(run.folder, _info(run, spec_file.read_text(encoding="utf-8"), module, seconds))
    return times.steps  # and not times: Lightning gives each callback the module's log, and with it the module


def _info(run: OneRun, spec: str, module: RLModule, seconds: dict[str, float]) -> RunInfo:
    name, given = run.algorithm.name, dataclasses.asdict(run.algorithm)
    settings = {f"{name}.{key}": value for key, value in given.items() if not isinstance(value, dict)}
    settings |= {f"{name}.kl.{key}": value for key, value in given["kl"].items()}
    return RunInfo(
        label=run.label,
        seed=run.seed,
        episodes=module.episodes,
        spec=spec,
        seconds=seconds,
        settings={
            "steps": run.steps,
            "prompts per step": run.prompts_per_step,
            "temperature": run.sampling.temperature,
            "longest answer, tokens": run.sampling.max_new_tokens,
            "child parameters": sum(parameter.numel() for parameter in module.policy.lm.parameters()),
            **settings,
        },
        versions=versions(),
        machine=machine(),
    )
