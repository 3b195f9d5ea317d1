"""The stages before the reward, as demos and studies run them: texts, then experts' answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from pgsrm_lab.tasks import Task
from pgsrm_lab.tasks.export import export
from pgsrm_lab.tiny import Size
from pgsrm_lab.tiny.models import new_model, save, train_tokenizer
from pgsrm_lightning.supervised.corpus import AnswerData, PackedData, TextData
from pgsrm_lightning.supervised.imitation import AdamWConfig, ImitationModule

TEXTS, TRAIN, HELD_OUT = "texts.jsonl", "train.jsonl", "held_out.jsonl"
TAGS = ("<explanation>", "</explanation>", "<answer>", "</answer>")
"""What the answers are marked with: one token each to a tiny child."""
FLOAT32 = "32-true"
"""Lightning's name for it."""


@dataclass(frozen=True)
class Stage:
    """A supervised stage.

    Attributes:
        epochs: passes over the rows.
        lr: AdamW's highest learning rate; it rises for a twentieth of the steps and falls to 0 by a cosine.
        pack_tokens: tokens of a step.
    """

    epochs: int
    lr: float
    pack_tokens: int


def write_task(task: Task, folder: Path) -> None:
    """Writes a task's texts (those to train on) and the rows of both splits."""
    export(task, folder / TEXTS, "text")
    export(task, folder / TRAIN)
    export(task, folder / HELD_OUT, split="held_out")


def new_child(task: Task, size: Size, seed: int, folder: Path) -> None:
    """A child that knows nothing: random weights, and a tokenizer of the texts to train on, with the tags as tokens."""
    prompts = task.train_prompts
    texts = [text for prompt in prompts for text in (*task.texts_of(prompt), prompt)]
    tokenizer = train_tokenizer(texts)
    tokenizer.add_tokens(list(TAGS))
    asked, told = (max(map(len, tokenizer(list(some))["input_ids"])) for some in (task.prompts, task.expert.values()))
    save(new_model(tokenizer, size, seed, positions=asked + 2 * told), tokenizer, folder)


def pretrain(
    child: str | Path,
    rows: Path,
    stage: Stage,
    out: Path,
    seed: int,
    watch: Sequence[Callback] = (),
    *,
    precision: Any = FLOAT32,
) -> None:
    """Continued pre-training on a folder's texts."""
    _learn(child, TextData(str(rows / TEXTS), pack_tokens=stage.pack_tokens), stage, out, seed, watch, precision)


def imitate(
    child: str | Path,
    rows: Path,
    stage: Stage,
    out: Path,
    seed: int,
    watch: Sequence[Callback] = (),
    *,
    chat: bool = False,
    validated: bool = True,
    precision: Any = FLOAT32,
) -> None:
    """Supervised fine-tuning on a folder's answers; the validation loss, where wanted, is that of the held-out ones."""
    options: dict[str, Any] = {"chat": chat, "pack_tokens": stage.pack_tokens, "overlong": "leave_out"}
    data = AnswerData(str(rows / TRAIN), {"held_out": str(rows / HELD_OUT)} if validated else None, **options)
    _learn(child, data, stage, out, seed, watch, precision)


def _learn(
    child: str | Path,
    data: PackedData,
    stage: Stage,
    out: Path,
    seed: int,
    watch: Sequence[Callback],
    precision: Any,
) -> None:
    module = ImitationModule(str(child), AdamWConfig(lr=stage.lr, warmup=0.05), seed)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        precision=precision,
        max_epochs=stage.epochs,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        logger=False,
        log_every_n_steps=1,
        callbacks=list(watch),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    module.policy.save_pretrained(out)
