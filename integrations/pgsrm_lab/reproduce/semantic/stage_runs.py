"""The three stages of a run: the first two once a seed, the third on one reward; then its answers are judged."""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from pgsrm_lab import stages
from pgsrm_lab.pool import ProgressMessage, report
from pgsrm_lab.reproduce.semantic.explaining import TINY, ExplainingProtocol
from pgsrm_lab.reproduce.semantic.judging import judge, means, overpaid
from pgsrm_lab.reproduce.semantic.mixtures import ARMS, BEGIN, LONGER, spec_of
from pgsrm_lab.reproduce.study import Job
from pgsrm_lab.reproduce.worker import Recorder, trainer_of
from pgsrm_lab.tasks import Task, load_task
from pgsrm_lab.tasks.questions.public import PUBLIC_SETS
from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import generate, prompt_tokens
from pgsrm_plugin import SemanticReward
from pgsrm_plugin.data.rows import Record, read_records
from pgsrm_plugin.pretrained.dequantised import ORIGIN
from pgsrm_plugin.text.words import count_words
from pgsrm_plugin.types import Encoder

LANGUAGES = {"casimedicos": "en"}
"""In which a public set is taken: MiniLM reads English."""
FILES = {"new": stages.HELD_OUT, "seen": stages.TRAIN}


@functools.cache
def task_of(name: str, source: str, questions: int | None = None, longest: int | None = None) -> Task:
    """The task of a name; a public set from its files in a folder, or from its address.

    Args:
        questions: so many to train on, spread over the set; None: all.
        longest: words of an expert's answer, in either split; None: any number.
    """
    known = PUBLIC_SETS.get(name)
    task = load_task(name) if known is None else known.task(Path(source) if source else None, LANGUAGES.get(name))
    prompts, held_out = (
        tuple(one for one in split if longest is None or count_words(task.expert[one]) <= longest)
        for split in (task.train_prompts, task.held_out_prompts)
    )
    if questions is not None and questions < len(prompts):
        prompts = tuple(prompts[number * len(prompts) // questions] for number in range(questions))
    return dataclasses.replace(task, train_prompts=prompts, held_out_prompts=held_out)


def protocol_of(job: Job) -> ExplainingProtocol:
    """The job's, which is this study's."""
    assert isinstance(job.protocol, ExplainingProtocol)
    return job.protocol


def _task(job: Job) -> Task:
    protocol = protocol_of(job)
    return task_of(job.task, protocol.source, protocol.questions, protocol.longest)


def start(job: Job, folder: Path) -> None:
    """The task's rows, and the child after its two supervised stages."""
    protocol, task = protocol_of(job), _task(job)
    stages.write_task(task, folder)
    child: str | Path = protocol.child
    if protocol.child == TINY:
        child = folder / "new"
        stages.new_child(task, protocol.size, 1000 + job.seed, folder / "new")
    texts, answers, options = folder / "texts", folder / "child", _options(protocol)
    stages.pretrain(child, folder, protocol.texts, texts, job.seed, precision=protocol.precision)
    stages.imitate(texts, folder, protocol.answers, answers, job.seed, **options)


def _options(protocol: ExplainingProtocol) -> dict[str, Any]:
    """Of supervised fine-tuning: nothing here reads a validation loss, which costs a third of the training again."""
    return {"chat": protocol.chat, "validated": False, "precision": protocol.precision}


def train(job: Job, records: type[Recorder] = Recorder) -> dict[str, Any]:
    """A whole run, with an arm of the job's study.

    Args:
        records: what keeps the numbers of the training.
    """
    protocol, folder, started = protocol_of(job), job.warm_start, time.perf_counter()
    arm = job.study.arms[job.arm]
    spec = spec_of(arm)
    reward = SemanticReward(spec, _encoder() if spec.encoder is not None else None)
    sampling = SamplingConfig(
        max_new_tokens=protocol.new_tokens,
        temperature=protocol.temperature,
        chat=protocol.chat,
        eval_batch_size=64,
    )
    curves: dict[str, Any] = {}
    episodes, child = 0, str(folder / "child")
    if arm.role == BEGIN:
        policy = Policy(child, value_head=False, reference=False)
    elif arm.role == LONGER:
        policy = _go_on(job, folder)
    else:
        module = RLModule(child, reward, protocol.grpo, sampling, job.seed)
        recorder = records(job, lambda _: {})
        data = PromptData(str(folder / stages.TRAIN), None, protocol.prompts_per_step, protocol.steps)
        trainer_of(job, recorder, precision=protocol.precision).fit(module, data)
        policy, curves, episodes = module.policy, recorder.curves, module.episodes
    report(ProgressMessage(job.name, protocol.steps))
    judge_of_pay = SemanticReward(spec_of(ARMS["semantic"]), _encoder()) if spec.policy_terms else reward
    answers = {
        split: _answers(policy, folder / file, sampling, judge_of_pay, protocol) for split, file in FILES.items()
    }
    return {
        "spec": arm.body,
        "episodes": episodes,
        "origin": getattr(policy.lm.config, ORIGIN, None) or protocol.child,
        "child_parameters": sum(parameter.numel() for parameter in policy.lm.parameters()),
        "curves": curves,
        "seconds": {"total": time.perf_counter() - started},
        "measures": {
            f"{name}_{split}": mean for split, found in answers.items() for name, mean in means(found).items()
        },
        "cosines": {split: [one["cosine"] for one in found] for split, found in answers.items()},
        "examples": [{"split": split, **one} for split, found in answers.items() for one in found],
    }


def _go_on(job: Job, folder: Path) -> Policy:
    """Supervised fine-tuning for as many answers as GRPO samples, at half the learning rate that the stage had."""
    protocol = protocol_of(job)
    rows = len(_task(job).train_prompts)
    sampled = protocol.steps * protocol.prompts_per_step * protocol.grpo.group_size
    stage = dataclasses.replace(protocol.answers, epochs=max(1, round(sampled / rows)), lr=protocol.answers.lr / 2)
    out = job.out / "longer" / job.digest[:12]
    stages.imitate(folder / "child", folder, stage, out, job.seed, [_Beat(job.name)], **_options(protocol))
    return Policy(str(out), value_head=False, reference=False)


class _Beat(Callback):
    """Tells the main process that the run goes on, and stops when that ends."""

    def __init__(self, name: str) -> None:
        self._name = name

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        report(ProgressMessage(self._name, 0))


def _answers(
    policy: Policy, file: Path, sampling: SamplingConfig, reward: SemanticReward, protocol: ExplainingProtocol
) -> list[dict[str, Any]]:
    """Greedy answers to the first questions of a file, judged."""
    records = [one for one in read_records(file, responses=False) if _fits(one, policy, sampling)]
    records = records[: protocol.asked]
    device, texts = next(policy.parameters()).device, []
    for first in range(0, len(records), sampling.eval_batch_size):
        some = records[first : first + sampling.eval_batch_size]
        with torch.autocast(device.type, torch.bfloat16, enabled=protocol.precision != stages.FLOAT32):
            texts += generate(policy, some, sampling, device, seed=None).texts
    samples = [record.sample(text) for record, text in zip(records, texts, strict=True)]
    judged = judge(samples)
    paid = overpaid(reward, samples, [one["accuracy"] for one in judged])
    return [
        {
            "prompt": str(sample.prompt),
            "response": sample.response,
            "reference": sample.references[0],
            "key": str(sample.ground_truth),
            **numbers,
            "overpaid": over,
        }
        for sample, numbers, over in zip(samples, judged, paid, strict=True)
    ]


def _fits(record: Record, policy: Policy, sampling: SamplingConfig) -> bool:
    return len(prompt_tokens(record, policy, sampling.chat)) + sampling.max_new_tokens <= policy.context


@functools.cache
def _encoder() -> Encoder:
    """One a process, for all its runs."""
    encoder = SemanticReward(spec_of(ARMS["semantic"])).encoder
    assert encoder is not None
    return encoder
