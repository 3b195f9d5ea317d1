"""The supervised warm start: a parent that knows all, its answers on file, and a child with partial knowledge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, GPT2LMHeadModel

from pgsrm_lab.tasks import Task
from pgsrm_lab.tiny.models import (
    Size,
    encode_pairs,
    generate,
    new_model,
    sampled_accuracy,
    save,
    train_supervised,
    train_tokenizer,
)
from pgsrm_plugin.errors import ScorerError

Report = Callable[[float], None]
"""Called with a probability of right answers while a model learns."""


def make_parent(task: Task, size: Size, folder: Path, report: Report) -> None:
    """Trains a parent on the expert's whole table and saves it together with its tokenizer.

    Raises:
        PgsrmError: it does not learn the table.
    """
    tokenizer = train_tokenizer([f"{prompt} {answer}" for prompt, answer in task.expert.items()])
    prompts, answers = list(task.expert), list(task.expert.values())
    model = new_model(tokenizer, size, seed=0)

    def knows_all() -> bool:
        report(sampled_accuracy(model, tokenizer, prompts, answers))
        written = generate(model, tokenizer, prompts, task.new_tokens, sample=False)
        return written == [(answer, "stop") for answer in answers]

    train_supervised(model, encode_pairs(tokenizer, prompts, answers), lr=1e-3, until=knows_all, every=12)
    save(model, tokenizer, folder)


def store_expert_answers(task: Task, folder: Path) -> dict[str, str]:
    """In place of :func:`make_parent` and :func:`ask_parent`: the task's own answers, and a tokenizer without a model.

    Args:
        folder: gets ``parent``, the tokenizer for :func:`warm_start_child`, and ``parent.jsonl``, the stored answers.
    """
    train_tokenizer([f"{prompt} {answer}" for prompt, answer in task.expert.items()]).save_pretrained(folder / "parent")
    rows = [{"prompt": prompt, "reference": task.expert[prompt], "parent": "stated"} for prompt in task.prompts]
    (folder / "parent.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {row["prompt"]: row["reference"] for row in rows}


def ask_parent(task: Task, folder: Path, out: Path) -> dict[str, str]:
    """Generates the parent's answer to every prompt once, greedily, and stores each with where it comes from.

    Raises:
        ScorerError: an answer is empty or cut off. An answer that is missing is never a reference.
    """
    model, tokenizer = GPT2LMHeadModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    written = generate(model, tokenizer, task.prompts, task.new_tokens, sample=False)
    provenance = {
        "parent": f"sha256:{digest(folder)}",
        "decoding": {"do_sample": False, "max_new_tokens": task.new_tokens},
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    rows: list[dict[str, Any]] = []
    for prompt, (answer, finish_reason) in zip(task.prompts, written, strict=True):
        if not answer or finish_reason != "stop":
            raise ScorerError(f"the parent has no complete answer to {prompt!r} (got {answer!r}, {finish_reason})")
        rows.append({"prompt": prompt, "reference": answer, "finish_reason": finish_reason, **provenance})
    out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {row["prompt"]: row["reference"] for row in rows}


def warm_start_child(
    task: Task, answers: dict[str, str], folder: Path, size: Size, goal: float, report: Report
) -> None:
    """Trains a child on the parent's answers to the training prompts until a sampled answer is right often enough.

    It never sees a held-out prompt.

    Args:
        folder: has the ``parent``, whose tokenizer is shared; the child is saved as ``child``.
        goal: the probability of sampling the right answer at which it stops.

    Raises:
        PgsrmError: it does not get there.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder / "parent")
    prompts = list(task.train_prompts)
    wanted = [answers[prompt] for prompt in prompts]
    model = new_model(tokenizer, size, seed=1)

    def knows_enough() -> bool:
        reached = sampled_accuracy(model, tokenizer, prompts, wanted)
        report(reached)
        return reached >= goal

    train_supervised(model, encode_pairs(tokenizer, prompts, wanted), lr=1e-3, until=knows_enough)
    save(model, tokenizer, folder / "child")


def write_prompts(task: Task, answers: dict[str, str], folder: Path) -> None:
    """Writes train.jsonl and held_out.jsonl: each prompt with the parent's answer as its reference.

    A task that holds no prompts out gets no held_out.jsonl.
    """
    for name, prompts in {"train": task.train_prompts, "held_out": task.held_out_prompts}.items():
        if not prompts:
            continue
        rows = [json.dumps({"prompt": prompt, "reference": answers[prompt]}) + "\n" for prompt in prompts]
        (folder / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")


def digest(folder: Path) -> str:
    """sha256 of a saved model's weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
