"""A run with a pretrained child: GRPO or PPO on one reward, and its answers read before, during and after."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from pgsrm_lab.reproduce.real.chat_protocol import ChatProtocol
from pgsrm_lab.reproduce.real.reading import Reading, read, shares
from pgsrm_lab.reproduce.study import ENCODER, Job
from pgsrm_lab.reproduce.worker import Recorder, trainer_of
from pgsrm_lab.tasks import load_task
from pgsrm_lab.tiny import write_prompts
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import generate
from pgsrm_plugin import SemanticReward
from pgsrm_plugin.data.rows import Record, read_records
from pgsrm_plugin.spec.parse import parse_spec
from pgsrm_plugin.text.clean import prompt_text
from pgsrm_plugin.types import RewardSample

SETS = ("train", "held_out")
BEFORE = "before.json"
YARDSTICK = f"name: yardstick\n{ENCODER}terms:\n  semantic:\n    transform: clipped\n    alpha: 1\n"
"""What the likeness of every arm's answers is measured with."""


def start(job: Job, folder: Path) -> None:
    """The task's prompts with the stated answers, and what the child answers to each before any training."""
    protocol, task = protocol_of(job), load_task(job.task)
    write_prompts(task, dict(task.expert), folder)
    policy = Policy(protocol.child, value_head=False, reference=False)
    answers = {name: _greedy(policy, records, job) for name, records in _records(folder).items()}
    (folder / BEFORE).write_text(json.dumps(answers), encoding="utf-8")


def train(job: Job) -> dict[str, Any]:
    """A whole run."""
    protocol, folder, started = protocol_of(job), job.warm_start, time.perf_counter()
    text, records = job.study.arms[job.arm].body, _records(job.warm_start)
    spec = parse_spec(text)
    reward = SemanticReward(spec, _yardstick().encoder if spec.encoder is not None else None)
    module = RLModule(protocol.child, reward, protocol.algorithm(job.update), protocol.sampling(job.task), job.seed)
    recorder = AnswerRecorder(job)
    data = PromptData(str(folder / "train.jsonl"), None, protocol.prompts_per_step, protocol.steps)
    trainer_of(job, recorder, "auto").fit(module, data)
    after = {name: _greedy(module.policy, rows, job) for name, rows in records.items()}
    before = json.loads((folder / BEFORE).read_text(encoding="utf-8"))
    examples = [one for name, rows in records.items() for one in _compared(job, name, rows, before[name], after[name])]
    recorder.seconds["total"] = time.perf_counter() - started
    return {
        "spec": text,
        "fingerprint": reward.spec.fingerprint,
        "episodes": module.episodes,
        "child_parameters": sum(parameter.numel() for parameter in module.policy.lm.parameters()),
        "curves": recorder.curves,
        "paid": recorder.paid,
        "seconds": recorder.seconds,
        "examples": examples,
    }


class AnswerRecorder(Recorder):
    """Reads the sampled answers of each step, and keeps what the reward paid for which of them.

    Attributes:
        paid: by kind of answer, how many there were in the run and the sum of their rewards.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job, lambda _: {})
        self._answers = _answers_of(job.task)
        self.paid: dict[str, list[float]] = {kind: [0, 0.0] for kind in ("right", "echo", "other")}

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        assert isinstance(module, RLModule)
        seen = module.last_answers
        assert seen is not None
        readings = [_read(record, text, self._answers) for record, text in zip(seen.records, seen.texts, strict=True)]
        for name, share in shares(readings).items():
            self.add(f"train/{name}", module.steps_done, share)
        for reading, earned in zip(readings, seen.output.rewards.tolist(), strict=True):
            paid = self.paid["right" if reading.sentence else "echo" if reading.echo else "other"]
            paid[0] += 1
            paid[1] += earned
        super().on_train_batch_end(trainer, module, *args)


def protocol_of(job: Job) -> ChatProtocol:
    """The job's, which is this study's."""
    assert isinstance(job.protocol, ChatProtocol)
    return job.protocol


def _greedy(policy: Policy, records: Sequence[Record], job: Job) -> list[str]:
    sampling, device = protocol_of(job).sampling(job.task), next(policy.parameters()).device
    size = sampling.eval_batch_size
    return [
        text
        for first in range(0, len(records), size)
        for text in generate(policy, records[first : first + size], sampling, device, seed=None).texts
    ]


def _compared(
    job: Job, split: str, records: Sequence[Record], before: Sequence[str], after: Sequence[str]
) -> list[dict[str, Any]]:
    """The greedy answer to each prompt before and after, read, with its likeness to the reference."""
    likeness = [_likeness(records, answers) for answers in (before, after)]
    answers, rows = _answers_of(job.task), []
    for number, record in enumerate(records):
        row: dict[str, Any] = {
            "split": split,
            "prompt": prompt_text(record.prompt),
            "reference": record.references[0],
        }
        for when, said, near in (("before", before, likeness[0]), ("after", after, likeness[1])):
            reading = _read(record, said[number], answers)
            row |= {when: said[number], f"cosine_{when}": near[number]}
            row |= {f"{kind}_{when}": getattr(reading, kind) for kind in ("strict", "sentence", "echo")}
        rows.append(row)
    return rows


def _read(record: Record, answer: str, answers: Sequence[str]) -> Reading:
    return read(prompt_text(record.prompt), record.references[0], answer, answers)


def _likeness(records: Sequence[Record], answers: Sequence[str]) -> list[float]:
    samples: list[RewardSample] = [record.sample(text) for record, text in zip(records, answers, strict=True)]
    found: list[float] = _yardstick().score(samples).rewards.tolist()
    return found


def _records(folder: Path) -> dict[str, list[Record]]:
    """The prompts of each split that the task has."""
    files = {name: folder / f"{name}.jsonl" for name in SETS}
    return {name: read_records(file, responses=False) for name, file in files.items() if file.is_file()}


@functools.cache
def _answers_of(task: str) -> tuple[str, ...]:
    return tuple(sorted(set(load_task(task).expert.values())))


@functools.cache
def _yardstick() -> SemanticReward:
    """One a process, for all its runs."""
    return SemanticReward(parse_spec(YARDSTICK))
