"""GRPO on one reward, from a child that gives right and wrong answers equally often."""

from __future__ import annotations

import functools
import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from pgsrm_lab.reproduce.guards.protocol import GuardsProtocol
from pgsrm_lab.reproduce.guards.rewards import ARMS
from pgsrm_lab.reproduce.guards.shares import ordered, shares, split_of, verdict_of
from pgsrm_lab.reproduce.prepare import chances_of_answers
from pgsrm_lab.reproduce.study import Job
from pgsrm_lab.reproduce.worker import Recorder, trainer_of
from pgsrm_lab.tasks.statements import STATEMENTS, Statement
from pgsrm_lab.tiny import models
from pgsrm_lightning.algorithms.grpo import GRPOConfig
from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.data import PromptData
from pgsrm_lightning.module import RLModule
from pgsrm_lightning.policy import Policy
from pgsrm_plugin import SemanticReward
from pgsrm_plugin.data.rows import read_records
from pgsrm_plugin.spec.parse import parse_spec
from pgsrm_plugin.types import Encoder, RewardSample

EVERY = 10
"""Supervised steps between two looks at how far a warm start is."""


def start(job: Job, folder: Path) -> None:
    """The task's prompts with their references, and a child that knows the listed answers, but not which are right."""
    statements = STATEMENTS[job.task]()
    rows = [{"prompt": s.prompt, "reference": s.reference, "ground_truth": [s.reference, *s.right]} for s in statements]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "train.jsonl").write_text(text, encoding="utf-8")
    _train_child(statements, job, folder / "child")


def _train_child(statements: Sequence[Statement], job: Job, folder: Path) -> None:
    """A supervised run on right and wrong answers alike; initial weights and order of rows are the seed's."""
    protocol = protocol_of(job)
    listed = [(s.prompt, answer) for s in statements for answer in (s.reference, *s.right, *s.wrong)]
    tokenizer = models.train_tokenizer([f"{prompt} {answer}" for prompt, answer in listed])
    model = models.new_model(tokenizer, protocol.size, seed=1000 + job.seed)
    right = [(s.prompt, answer) for s in statements for answer in s.right]
    wrong = [(s.prompt, answer) for s in statements for answer in s.wrong]
    prompts, answers = zip(*right, *wrong, strict=True)

    def share(pairs: Sequence[tuple[str, str]]) -> float:
        asked, given = zip(*pairs, strict=True)
        return models.sampled_accuracy(model, tokenizer, asked, given) * len(pairs) / len(statements)

    def is_even() -> bool:
        knows, errs = share(right), share(wrong)
        return knows + errs >= protocol.goal and abs(knows - errs) <= protocol.odds

    models.train_supervised(
        model,
        models.encode_pairs(tokenizer, prompts, answers),
        lr=3e-3,
        until=is_even,
        max_steps=protocol.supervised_steps,
        batch=len(prompts),
        every=EVERY,
        seed=job.seed,
    )
    models.save(model, tokenizer, folder)


def train(job: Job, algorithm: GRPOConfig | None = None) -> dict[str, Any]:
    """A whole run; ``algorithm`` takes the protocol's place."""
    protocol, folder, started = protocol_of(job), job.warm_start, time.perf_counter()
    statements, text = STATEMENTS[job.task](), job.study.arms[job.arm].body
    spec = parse_spec(text)
    reward = SemanticReward(spec, _encoder() if spec.encoder is not None else None)
    prompts = str(folder / "train.jsonl")
    module = RLModule(
        child=str(folder / "child"),
        spec=reward,
        algorithm=algorithm or protocol.grpo,
        sampling=SamplingConfig(max_new_tokens=_longest(folder, statements), eval_batch_size=128),
        seed=job.seed,
    )
    at_start = _chances(module.policy, statements)
    recorder = Recorder(job, lambda module: _shares(module.policy, statements))
    trainer = trainer_of(job, recorder)
    data = PromptData(prompts, {"train": prompts}, protocol.prompts_per_step, protocol.steps)
    trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    recorder.seconds["total"] = time.perf_counter() - started
    return {
        "spec": text,
        "fingerprint": reward.spec.fingerprint,
        "commit": _commit(),
        "episodes": module.episodes,
        "child_parameters": sum(parameter.numel() for parameter in module.policy.lm.parameters()),
        "curves": recorder.curves,
        "seconds": recorder.seconds,
        "start_spread": _spread(at_start, statements),
        **_paid(reward, statements),
        "examples": _examples(module, statements, prompts),
    }


def protocol_of(job: Job) -> GuardsProtocol:
    """The job's, which is this study's."""
    assert isinstance(job.protocol, GuardsProtocol)
    return job.protocol


def _longest(folder: Path, statements: Sequence[Statement]) -> int:
    """Tokens of the longest listed answer, its end, and one that makes a longer answer visible."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "child")
    answers = [f" {answer}" for s in statements for answer in (s.reference, *s.right, *s.wrong)]
    return max(map(len, tokenizer(answers)["input_ids"])) + 2


def _chances(policy: Policy, statements: Sequence[Statement]) -> list[dict[str, float]]:
    """By prompt, the probability of each listed answer."""
    listed = [(s.prompt, answer) for s in statements for answer in (s.reference, *s.right, *s.wrong)]
    prompts, answers = zip(*listed, strict=True)
    found = iter(chances_of_answers(policy, prompts, answers))
    return [{answer: next(found) for answer in (s.reference, *s.right, *s.wrong)} for s in statements]


def _shares(policy: Policy, statements: Sequence[Statement]) -> dict[str, float]:
    found = shares(_chances(policy, statements), statements)
    return {f"val/{name}": share for name, share in found.items()}


def _spread(chances: Sequence[Mapping[str, float]], statements: Sequence[Statement]) -> float:
    """How far right and wrong lie apart on a prompt, mean over prompts."""
    split = [split_of(found, statement) for found, statement in zip(chances, statements, strict=True)]
    return sum(abs(one["right"] - one["wrong"]) for one in split) / len(split)


def _paid(reward: SemanticReward, statements: Sequence[Statement]) -> dict[str, float]:
    """What the reward gives to the listed answers, each by itself, before any training."""
    reward = reward.for_validation()
    right = [_scores(reward, statement, statement.right) for statement in statements]
    wrong = [_scores(reward, statement, statement.wrong) for statement in statements]
    means = {name: sum(map(sum, side)) / sum(map(len, side)) for name, side in (("right", right), ("wrong", wrong))}
    return {"right_paid": means["right"], "wrong_paid": means["wrong"], "ordered": ordered(right, wrong)}


def _scores(reward: SemanticReward, statement: Statement, answers: Sequence[str]) -> list[float]:
    truths = (statement.reference, *statement.right)
    samples = [RewardSample(statement.prompt, answer, (statement.reference,), truths) for answer in answers]
    scores: list[float] = reward.score(samples).rewards.tolist()
    return scores


def _examples(module: RLModule, statements: Sequence[Statement], prompts: str) -> list[dict[str, Any]]:
    """The greedy answer to each prompt at the end, by the list right or not, and what it earns."""
    answers = module.answer(read_records(prompts, responses=False))
    return [
        {
            "prompt": statement.prompt,
            "reference": statement.reference,
            "response": text,
            "verdict": verdict_of(statement, text),
            "reward": float(earned),
            "right_reward": max(_scores(module.reward("val"), statement, statement.right)),
        }
        for statement, text, earned in zip(statements, answers.texts, answers.output.rewards, strict=True)
    ]


@functools.cache
def _encoder() -> Encoder:
    """One a process, for all its runs: what a child says, others have said before, and embeddings are remembered."""
    encoder = SemanticReward(parse_spec(ARMS["cosine"].body)).encoder
    assert encoder is not None
    return encoder


def _commit() -> str:
    """The commit of the checkout that this file is in; empty where it is in none."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
