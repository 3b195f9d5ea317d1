"""Before the runs of a task and seed: prompts with the parent's answers, and the child that all rewards start from."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from pgsrm_lab.reproduce.grid import TINY, Job
from pgsrm_lab.tasks import Task, load_task
from pgsrm_lab.tiny import models, write_prompts
from pgsrm_lightning.policy import Policy

VAL_SETS = ("train", "held_out")


def prepare(job: Job) -> None:
    """Makes the job's warm start where it is not there yet; the folder appears whole or not at all.

    Raises:
        PgsrmError: the supervised run did not reach its goal.
    """
    folder = job.warm_start
    if folder.is_dir():
        return
    task = load_task(job.task)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix="."))
    try:
        write_prompts(task, dict(task.expert), temporary)
        if job.protocol.child == TINY:
            steps = _train_child(task, job, temporary / "child")
            (temporary / "warm_start.json").write_text(json.dumps({"supervised_steps": steps}) + "\n", encoding="utf-8")
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def child_of(job: Job) -> str:
    """The folder, or the hub id, of the child that the job's run starts from."""
    return str(job.warm_start / "child") if job.protocol.child == TINY else job.protocol.child


def _train_child(task: Task, job: Job, folder: Path) -> int:
    """A supervised run on the training prompts; initial weights and order of rows are the seed's."""
    tokenizer = models.train_tokenizer([f"{prompt} {answer}" for prompt, answer in task.expert.items()])
    prompts = list(task.train_prompts)
    answers = [task.expert[prompt] for prompt in prompts]
    model = models.new_model(tokenizer, job.protocol.size, seed=1000 + job.seed)

    def knows_enough() -> bool:
        return models.sampled_accuracy(model, tokenizer, prompts, answers) >= job.protocol.goal

    data = models.encode_pairs(tokenizer, prompts, answers)
    most = job.protocol.supervised_steps
    steps = models.train_supervised(model, data, lr=1e-3, until=knows_enough, max_steps=most, every=1, seed=job.seed)
    models.save(model, tokenizer, folder)
    return steps


@torch.no_grad()
def chance_of_answer(policy: Policy, prompts: Sequence[str], answers: Sequence[str]) -> float:
    """The probability, averaged over prompts, that sampling at temperature 1 gives exactly the answer and then ends.

    It is what the share of right answers among sampled ones estimates, without the sampling noise. Spellings of an
    answer in other tokens than the tokenizer's own are not counted.
    """
    tokenizer, end = policy.tokenizer, policy.eos_ids[0]
    asked = [list(tokenizer(prompt)["input_ids"]) for prompt in prompts]
    wanted = [[*tokenizer(f" {answer}", add_special_tokens=False)["input_ids"], end] for answer in answers]
    left, right = max(map(len, asked)), max(map(len, wanted))
    pad = policy.pad_id
    rows = zip(asked, wanted, strict=True)
    tokens_BS = [[pad] * (left - len(p)) + p + a + [pad] * (right - len(a)) for p, a in rows]
    seen_BS = [
        [0] * (left - len(p)) + [1] * (len(p) + len(a)) + [0] * (right - len(a))
        for p, a in zip(asked, wanted, strict=True)
    ]
    mask_BT = torch.tensor([[1] * len(a) + [0] * (right - len(a)) for a in wanted])
    device = next(policy.parameters()).device
    seen = policy.evaluate(torch.tensor(tokens_BS, device=device), torch.tensor(seen_BS, device=device), right, 1.0)
    return float((seen.logprobs_BT.cpu() * mask_BT).sum(-1).exp().mean())
