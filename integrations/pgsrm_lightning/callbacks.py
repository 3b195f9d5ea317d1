"""Callbacks: a file of rollouts, and the trained child in the Hugging Face layout."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, LightningModule, Trainer

from pgsrm_lightning.module import RLModule
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.scoring import Answers
from pgsrm_plugin.data.whole import TEMPORARY
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.reward import accuracy


class RolloutLog(Callback):
    """Writes rollouts as JSON lines, the only place where prompts and responses are written.

    A line has ``step``, ``split`` (``train`` or ``val/<set>``), ``when`` (``start``, ``during``, ``end``), ``prompt``,
    ``response``, ``references``, ``ground_truth``, the columns that terms are switched by, ``accuracy``
    (:func:`pgsrm_plugin.reward.accuracy`), every number of :meth:`pgsrm_plugin.RewardOutput.columns` and, of a spec
    with guards, ``guard_words``: what made them fire.
    Training rollouts are written every so many steps; each validation set is answered greedily at the start (not
    after a resume) and at the end of training. Only the first process writes.

    Args:
        path: the file; lines are added to it. A relative path starts at the trainer's log folder.
        every: steps between training rollouts.
        rows: rows written each time, of each validation set as well.
    """

    def __init__(self, path: str = "rollouts.jsonl", every: int = 50, rows: int = 8) -> None:
        self.path, self.every, self.rows = Path(path), every, rows

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        self.path = _log_folder(trainer) / self.path

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, RLModule)
        if module.steps_done == 0:
            self._answer_validation(trainer, module, "start")

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(module, RLModule)
        if module.last_answers is not None and (module.steps_done - 1) % self.every == 0:
            self._write(module, module.last_answers, "train", "during")

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, RLModule)
        self._answer_validation(trainer, module, "end")

    @rank_zero_only
    def _answer_validation(self, trainer: Trainer, module: RLModule, when: str) -> None:
        data = getattr(trainer, "datamodule", None)  # Lightning sets it without declaring it
        for name, records in getattr(data, "val_records", {}).items():
            with trainer.precision_plugin.forward_context():
                answers = module.answer(records[: self.rows])
            self._write(module, answers, f"val/{name}", when)

    @rank_zero_only
    def _write(self, module: RLModule, answers: Answers, split: str, when: str) -> None:
        spec = module.reward("train" if split == "train" else "val").spec
        right = accuracy(answers.output, answers.samples, spec).tolist()
        switches = sorted({path.split(".")[0] for path in spec.columns})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = zip(answers.records, answers.texts, right, answers.output.rows(), strict=True)
        with self.path.open("a", encoding="utf-8") as file:
            for i, (record, response, is_right, numbers) in enumerate(list(rows)[: self.rows]):
                line = {
                    **{name: record.row[name] for name in switches if name in record.row},
                    "step": module.steps_done,
                    "split": split,
                    "when": when,
                    "prompt": record.prompt,
                    "response": response,
                    "references": list(record.references),
                    "ground_truth": record.ground_truth,
                    "accuracy": is_right,
                    **numbers,
                }
                if answers.output.guard_words:
                    line["guard_words"] = answers.output.guard_words[i]
                file.write(json.dumps(line) + "\n")


class SaveChild(Callback):
    """Writes the child and its tokenizer at the end of training, as a folder that transformers loads.

    No file there is ever seen half-written.

    Args:
        folder: a relative path starts at the trainer's log folder.
        merge: with LoRA, write a whole model instead of adapters: what a next training or verl starts from.
        best: take the weights of the best checkpoint of a ``ModelCheckpoint`` with a ``monitor``, not the last ones.
            The module then has these, too.
    """

    def __init__(self, folder: str = "child", merge: bool = False, best: bool = False) -> None:
        self.folder, self.merge, self.best = Path(folder), merge, best

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        self.folder = _log_folder(trainer) / self.folder
        if self.best and not any(callback.monitor for callback in trainer.checkpoint_callbacks):  # type: ignore[attr-defined]
            raise SpecError("SaveChild: best needs a ModelCheckpoint with a monitor, such as val/held_out/loss")

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self.best:
            _take_best(trainer, module)
        self._write(module)

    @rank_zero_only
    def _write(self, module: LightningModule) -> None:
        policy = module.policy
        assert isinstance(policy, Policy)
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=TEMPORARY) as beside:
            policy.save_pretrained(beside, self.merge)
            for file in [path for path in Path(beside).rglob("*") if path.is_file()]:
                place = self.folder / file.relative_to(beside)
                place.parent.mkdir(exist_ok=True)
                file.replace(place)


def _take_best(trainer: Trainer, module: LightningModule) -> None:
    """Loads the best checkpoint's weights, where there is one; every process does."""
    watching = next(callback for callback in trainer.checkpoint_callbacks if getattr(callback, "monitor", None))
    path = getattr(watching, "best_model_path", "")
    if path:
        kept = trainer.strategy.checkpoint_io.load_checkpoint(path)
        module.load_state_dict(kept["state_dict"], strict=False)  # with LoRA, the base model is in no checkpoint


def _log_folder(trainer: Trainer) -> Path:
    """The trainer's log folder. A collective: every process must ask."""
    return Path(trainer.log_dir or trainer.default_root_dir).absolute()
