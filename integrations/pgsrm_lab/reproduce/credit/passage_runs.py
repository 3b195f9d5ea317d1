"""GRPO from a child each of whose sentences is wrong now and then."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, GPT2LMHeadModel, PreTrainedTokenizerFast

from pgsrm_lab.reproduce.credit.costs import CostRecorder
from pgsrm_lab.reproduce.credit.faults import faults_of, shares_of
from pgsrm_lab.reproduce.credit.passage_arms import CHILD, PASSAGE_ARMS, PLAIN, TOLD, passage_spec
from pgsrm_lab.reproduce.credit.passage_protocol import PassageProtocol
from pgsrm_lab.reproduce.credit.passages import passages, patterns, taught
from pgsrm_lab.reproduce.prepare import chances_of_answers
from pgsrm_lab.reproduce.study import Job
from pgsrm_lab.reproduce.worker import trainer_of
from pgsrm_lab.tiny import models
from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_lightning.policy import Policy
from pgsrm_plugin import SemanticReward
from pgsrm_plugin.data.rows import read_records
from pgsrm_plugin.spec.parse import parse_spec
from pgsrm_plugin.types import Encoder

EVERY = 15
"""Supervised steps between two looks at how far a warm start is."""
LR, BATCH = 5e-3, 48


def passage_start(job: Job, folder: Path) -> None:
    """The prompts with the experts' explanations, the child, and the same trained on, on these explanations."""
    known = passages()
    rows = [{"prompt": one.prompt, "reference": one.reference} for one in known]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    protocol = passage_protocol_of(job)
    texts = [
        (one.prompt, one.written(pattern))
        for number, one in enumerate(known)
        for pattern in taught(protocol.taught, protocol.wrong, seed=number)
    ]
    experts = [(one.prompt, one.reference) for one in known]
    everything = [(one.prompt, one.written(pattern)) for one in known for pattern in patterns()]
    tokenizer = models.train_tokenizer([f"{prompt} {text}" for prompt, text in (*everything, *experts)])
    longest = max(map(len, tokenizer([f"{prompt} {text}" for prompt, text in (*everything, *experts)])["input_ids"]))
    model = models.new_model(tokenizer, protocol.size, seed=1000 + job.seed, positions=longest + 4)

    def is_ready() -> bool:
        found = shares_of(_by_passage(models.chances(model, tokenizer, *zip(*everything, strict=True))))
        whole, right = 1 - found["val/broken"], found["val/right"]
        return whole >= protocol.goal and abs(right / whole - (1 - protocol.wrong)) <= protocol.odds

    _learn(model, tokenizer, texts, is_ready, job)
    models.save(model, tokenizer, folder / CHILD)
    _learn(
        model,
        tokenizer,
        experts,
        lambda: models.sampled_accuracy(model, tokenizer, *zip(*experts, strict=True)) >= protocol.told,
        job,
    )
    models.save(model, tokenizer, folder / TOLD)


def _learn(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, pairs: Sequence[tuple[str, str]], until: Any, job: Job
) -> None:
    prompts, answers = zip(*pairs, strict=True)
    models.train_supervised(
        model,
        models.encode_pairs(tokenizer, prompts, answers),
        lr=LR,
        until=until,
        max_steps=job.protocol.supervised_steps,
        batch=min(BATCH, len(pairs)),
        every=EVERY,
        seed=job.seed,
    )


def passage_train(job: Job) -> dict[str, Any]:
    """A whole run."""
    protocol, folder, started = passage_protocol_of(job), job.warm_start, time.perf_counter()
    spec = passage_spec(PASSAGE_ARMS[job.arm], str(folder))
    reward, prompts = SemanticReward(spec, _encoder()), str(folder / "train.jsonl")
    sampling = SamplingConfig(max_new_tokens=_longest(folder), eval_batch_size=128)
    module = RLModule(str(folder / CHILD), reward, protocol.grpo, sampling, job.seed)
    recorder = CostRecorder(job, lambda module: shares_of(_chances(module.policy)))
    trainer = trainer_of(job, recorder)
    data = PromptData(prompts, {"train": prompts}, protocol.prompts_per_step, protocol.steps)
    trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    return {
        "spec": PASSAGE_ARMS[job.arm].body,
        "fingerprint": reward.spec.fingerprint,
        "episodes": module.episodes,
        "child_parameters": sum(parameter.numel() for parameter in module.policy.lm.parameters()),
        "curves": recorder.curves,
        "seconds": {"total": time.perf_counter() - started},
        "examples": _examples(module, prompts),
    }


def passage_protocol_of(job: Job) -> PassageProtocol:
    """The job's, which is these runs'."""
    assert isinstance(job.protocol, PassageProtocol)
    return job.protocol


def _longest(folder: Path) -> int:
    """Tokens of the longest explanation that was taught, its end, and one that makes a longer one visible."""
    tokenizer = AutoTokenizer.from_pretrained(folder / CHILD)
    texts = [f" {one.written(pattern)}" for one in passages() for pattern in patterns()]
    return max(map(len, tokenizer(texts)["input_ids"])) + 2


def _chances(policy: Policy) -> list[list[float]]:
    """By passage, the probability of each pattern, in the order of :func:`patterns`."""
    pairs = [(one.prompt, one.written(pattern)) for one in passages() for pattern in patterns()]
    return _by_passage(chances_of_answers(policy, *zip(*pairs, strict=True)))


def _by_passage(found: list[float]) -> list[list[float]]:
    width = len(patterns())
    return [found[first : first + width] for first in range(0, len(found), width)]


def _examples(module: RLModule, prompts: str) -> list[dict[str, Any]]:
    """The greedy explanation of each prompt at the end, which of its sentences are wrong, and what it earns."""
    answers, known = module.answer(read_records(prompts, responses=False)), passages()
    return [
        {"prompt": one.prompt, "response": text, "faults": faults_of(one, text), "reward": float(earned)}
        for one, text, earned in zip(known, answers.texts, answers.output.rewards, strict=True)
    ]


@functools.cache
def _encoder() -> Encoder:
    """One a process, for all its runs; what it computed is forgotten with each run, so that costs can be compared."""
    encoder = SemanticReward(parse_spec(PASSAGE_ARMS[PLAIN].body)).encoder
    assert encoder is not None
    return encoder
