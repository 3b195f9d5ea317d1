"""One run: PPO (or REINFORCE) on one reward, recorded in memory and written at its end, whole or not at all."""

from __future__ import annotations

import dataclasses
import functools
import time
import traceback
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from pgsrm_lab.pool import ProgressMessage, RunCancelledError, report
from pgsrm_lab.reproduce import files
from pgsrm_lab.reproduce.arms import ARMS, ENCODER, spec_text
from pgsrm_lab.reproduce.grid import FORMAT, TINY, Job
from pgsrm_lab.reproduce.prepare import VAL_SETS, chance_of_answer, child_of, prepare
from pgsrm_lab.tasks import load_task
from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_plugin import SemanticReward
from pgsrm_plugin.cli.floor import Floor, measure_floor
from pgsrm_plugin.data.rows import Record, read_records
from pgsrm_plugin.errors import PgsrmError
from pgsrm_plugin.report import machine, versions
from pgsrm_plugin.reward import accuracy
from pgsrm_plugin.spec.parse import parse_spec
from pgsrm_plugin.text.clean import prompt_text
from pgsrm_plugin.types import Encoder

YARDSTICK = f"name: yardstick\n{ENCODER}terms:\n  semantic:\n    transform: clipped\n    alpha: 1\n"
"""What the semantic reward of every arm's answers is measured with."""
EXAMPLES = 12
"""Wrong answers kept of a run."""
_PARTS = ("rollout", "reward", "update")
_floors: dict[str, Floor] = {}
"""By task."""


@dataclass(frozen=True)
class Outcome:
    """How a run, or a warm start, ended; ``error`` is empty where it went well."""

    job: Job
    error: str = ""
    trace: str = ""


def attempt_prepare(job: Job) -> Outcome:
    """Makes a warm start; an error is an outcome."""
    return _attempt(prepare, job)


def attempt_run(job: Job) -> Outcome:
    """Trains and writes a run; an error is an outcome, and is written too."""
    return _attempt(run, job)


def _attempt(function: Any, job: Job) -> Outcome:
    try:
        function(job)
    except RunCancelledError:
        return Outcome(job, "cancelled")
    except Exception as error:  # whatever goes wrong in one run must not end the others
        message = str(error) if isinstance(error, PgsrmError) else f"{type(error).__name__}: {error}"
        return Outcome(job, message, traceback.format_exc())
    return Outcome(job)


def run(job: Job) -> None:
    """A whole run. Its file is written last, at once."""
    prepare(job)
    yardstick, started = _yardstick(), time.perf_counter()
    folder = job.warm_start
    records = {name: read_records(folder / f"{name}.jsonl", responses=False) for name in VAL_SETS if _rows(job, name)}
    answers = [record.references[0] for record in records["train"]]
    text = spec_text(ARMS[job.arm], _floor(job, records["train"], yardstick), answers)
    spec = parse_spec(text)
    reward = SemanticReward(spec, _encoder() if spec.encoder is not None else None)
    module = RLModule(
        child=child_of(job),
        spec=reward,
        algorithm=job.protocol.algorithm(job.update),
        sampling=SamplingConfig(max_new_tokens=load_task(job.task).new_tokens, eval_batch_size=128),
        seed=job.seed,
        val_spec=yardstick,
    )
    data = PromptData(
        train=str(folder / "train.jsonl"),
        val={name: str(folder / f"{name}.jsonl") for name in records},
        prompts_per_step=job.protocol.prompts_per_step,
        steps=job.protocol.steps,
    )
    recorder = Recorder(job, records)
    trainer = _trainer(job, recorder)
    trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    recorder.seconds["total"] = time.perf_counter() - started
    files.write_run(job, _result(job, text, recorder, module, records))


class Recorder(Callback):
    """Keeps a run's numbers as curves, reports each step to the main process, and stops when that ends."""

    def __init__(self, job: Job, records: dict[str, list[Record]]) -> None:
        self._job, self._records = job, records
        self.curves: dict[str, tuple[list[int], list[float]]] = {}
        self.seconds: dict[str, float] = {}

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        assert isinstance(module, RLModule)
        numbers = trainer.callback_metrics
        for name, value in numbers.items():
            if name.startswith("train/"):
                self._add(name, module.steps_done, float(value))
        for part in _PARTS:
            self.seconds[part] = self.seconds.get(part, 0.0) + float(numbers[f"time/{part}_s"])
        report(ProgressMessage(self._job.name, module.steps_done))

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, RLModule)
        for name, value in trainer.callback_metrics.items():
            if name.startswith("val/"):
                self._add(name, module.steps_done, float(value))
        for name, records in self._records.items():
            prompts, answers = [prompt_text(r.prompt) for r in records], [r.references[0] for r in records]
            chance = chance_of_answer(module.policy, prompts, answers)
            self._add(f"val/{name}/chance", module.steps_done, chance)

    def _add(self, name: str, step: int, value: float) -> None:
        steps, values = self.curves.setdefault(name, ([], []))
        if not steps or steps[-1] < step:
            steps.append(step)
            values.append(value)


def _trainer(job: Job, recorder: Recorder) -> Trainer:
    protocol = job.protocol
    return Trainer(
        accelerator="cpu" if protocol.child == TINY else "auto",
        devices=1,
        max_steps=protocol.steps,
        val_check_interval=min(protocol.validate_every, protocol.steps),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=False,
        callbacks=[recorder],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _result(
    job: Job, spec: str, recorder: Recorder, module: RLModule, records: dict[str, list[Record]]
) -> dict[str, Any]:
    wrong = {split: _wrong(module, split, rows) for split, rows in records.items()}
    return {
        "format": FORMAT,
        "digest": job.digest,
        "protocol": job.protocol.digest,
        "task": job.task,
        "arm": job.arm,
        "update": job.update,
        "seed": job.seed,
        "spec": spec,
        "episodes": module.episodes,
        "child_origin": TINY if job.protocol.child == TINY else module.policy.origin,
        "child_parameters": sum(parameter.numel() for parameter in module.policy.lm.parameters()),
        "settings": dataclasses.asdict(job.protocol),
        "curves": {name: {"steps": steps, "values": values} for name, (steps, values) in recorder.curves.items()},
        "seconds": recorder.seconds,
        "examples": [row for rows in wrong.values() for row in rows[:EXAMPLES]],
        "wrong_cosine": sum(row["cosine"] for row in wrong["train"]) / max(1, len(wrong["train"])),
        "versions": versions(),
        "machine": machine(),
    }


def _wrong(module: RLModule, split: str, records: list[Record]) -> list[dict[str, Any]]:
    """The wrong greedy answers, those with the highest cosine first."""
    answers = module.answer(records)
    right = accuracy(answers.output, answers.samples, module.reward("val").spec).tolist()
    rows = [
        {
            "split": split,
            "prompt": record.prompt,
            "reference": record.references[0],
            "response": text,
            "cosine": float(answers.output.terms["semantic"][number]),
        }
        for number, (record, text) in enumerate(zip(records, answers.texts, strict=True))
        if not right[number]
    ]
    return sorted(rows, key=lambda row: -row["cosine"])


def _rows(job: Job, split: str) -> bool:
    """Whether the task has prompts of a split."""
    path = job.warm_start / f"{split}.jsonl"
    return path.is_file() and path.stat().st_size > 0


@functools.cache
def _yardstick() -> SemanticReward:
    return SemanticReward(parse_spec(YARDSTICK))


def _encoder() -> Encoder:
    encoder = _yardstick().encoder
    assert encoder is not None
    return encoder


def _floor(job: Job, records: list[Record], yardstick: SemanticReward) -> Floor | None:
    """The cosine of the task's unrelated answers, measured once a process."""
    if not ARMS[job.arm].needs_floor:
        return None
    if job.task not in _floors:
        _floors[job.task] = measure_floor(records, _encoder(), yardstick.spec.text)
    return _floors[job.task]
