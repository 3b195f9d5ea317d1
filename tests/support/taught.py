"""A parent for tests: a tiny GPT-2 that has learned its answers by heart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pgsrm_lab.tiny import models


def write_taught(folder: Path, answers: Mapping[str, str], width: int, chat_template: str | None = None) -> Path:
    """Trains one on prompts and answers until it says nearly all of them; returns the folder."""
    prompts, said = list(answers), list(answers.values())
    tokenizer = models.train_tokenizer([f"{prompt} {answer}" for prompt, answer in answers.items()])
    tokenizer.chat_template = chat_template
    model = models.new_model(tokenizer, models.Size(2, width), seed=0)
    data = models.encode_pairs(tokenizer, prompts, said)
    models.train_supervised(
        model, data, lr=3e-3, until=lambda: models.sampled_accuracy(model, tokenizer, prompts, said) > 0.9
    )
    models.save(model, tokenizer, folder)
    return folder
