"""Before the runs of a task and seed: prompts with their answers, and the child that all rewards start from."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from pgsrm_lab.reproduce.study import Job
from pgsrm_lightning.policy import Policy


def prepare(job: Job) -> None:
    """Makes the job's warm start where it is not there yet; the folder appears whole or not at all.

    Raises:
        PgsrmError: the supervised run did not reach its goal.
    """
    folder = job.warm_start
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix="."))
    try:
        job.study.start(job, temporary)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@torch.no_grad()
def chances_of_answers(policy: Policy, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """For each pair, the probability that sampling at temperature 1 gives exactly the answer and then ends.

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
    chances: list[float] = (seen.logprobs_BT.cpu() * mask_BT).sum(-1).exp().tolist()
    return chances


def chance_of_answer(policy: Policy, prompts: Sequence[str], answers: Sequence[str]) -> float:
    """The mean of :func:`chances_of_answers`."""
    chances = chances_of_answers(policy, prompts, answers)
    return sum(chances) / len(chances)
