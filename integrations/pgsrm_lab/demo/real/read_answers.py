"""Sampled and greedy answers, read strictly, from the sentence, and for echoes, beside what the trainer logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from pgsrm_lab.reproduce.real.reading import Reading, read, shares
from pgsrm_lab.tasks import Task
from pgsrm_lightning.data import PromptBatch
from pgsrm_lightning.module import RLModule
from pgsrm_lightning.rollout.scoring import Answers
from pgsrm_plugin.guards.english.reading import stem
from pgsrm_plugin.text.words import words


def read_stems(prompt: str, reference: str, answer: str, answers: Sequence[str]) -> Reading:
    """Reads an answer by the stems of its words, as a sentence has the plural; strictly, as it stands.

    >>> read_stems("What category does this word belong to: 'cat'?", "animal", "It belongs to animals.", ["animal"])
    Reading(strict=False, sentence=True, echo=False)
    """
    stemmed = read(_stems(prompt), _stems(reference), _stems(answer), [_stems(one) for one in answers])
    return replace(stemmed, strict=read(prompt, reference, answer, ()).strict)


def _stems(text: str) -> str:
    return " ".join(map(stem, words(text)))


class ReadAnswers(Callback):
    """Logs ``train/<kind>`` of each step's samples and ``val/<set>/<kind>``.

    Args:
        task: whose answers they are; :mod:`pgsrm_lab.reproduce.real.reading` says which kinds there are.
    """

    def __init__(self, task: Task) -> None:
        self._known = tuple(task.expert.values())
        self._validated: dict[str, list[Reading]] = {}

    def _read(self, answers: Answers) -> list[Reading]:
        return [read_stems(str(one.prompt), one.references[0], one.response, self._known) for one in answers.samples]

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        assert isinstance(module, RLModule)
        answers = module.last_answers
        assert answers is not None
        for kind, share in shares(self._read(answers)).items():
            module.log(f"train/{kind}", share, batch_size=1)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        module: LightningModule,
        outputs: Any,
        batch: PromptBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._validated.setdefault(batch.split, []).extend(self._read(outputs["answers"]))

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        for split, readings in self._validated.items():
            for kind, share in shares(readings).items():
                module.log(f"val/{split}/{kind}", share, batch_size=1)
        self._validated = {}
