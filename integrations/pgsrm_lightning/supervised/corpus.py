"""The two data modules: answers to imitate, and texts to model."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, cast, get_args

import torch
from lightning.pytorch import LightningDataModule

from pgsrm_lightning.policy import Policy
from pgsrm_lightning.supervised.examples import Example, cut_text, encode_answer, read_answer
from pgsrm_lightning.supervised.packs import Pack, PackStream, TrainPacks, ValPacks
from pgsrm_plugin.data.faults import Faults
from pgsrm_plugin.data.files import plain, stream_rows
from pgsrm_plugin.errors import DataError, SpecError

Overlong = Literal["refuse", "leave_out"]
_PLAIN_TEXT = (".txt", ".md")


class Imitator(Protocol):
    """What the data ask of the module that they feed."""

    seed: int
    packs_done: int
    policy: Policy


class PackedData(LightningDataModule):
    """Reads files, makes token sequences of them before any training, and deals them out in packs.

    Args:
        train: files to learn from.
        val: validation files by name; each gives ``val/<name>/loss``.
        pack_tokens: tokens that are computed at once, at most; there is no padding.

    Raises:
        DataError: on setup, where a file cannot be read or a row be used; the message names file, row and field.
    """

    def __init__(self, train: Sequence[str], val: dict[str, str] | None, pack_tokens: int) -> None:
        super().__init__()
        if pack_tokens < 2:
            raise SpecError(f"data.pack_tokens must be at least 2, not {pack_tokens}")
        self.train_paths, self.val_paths, self.pack_tokens = list(train), dict(val or {}), pack_tokens
        self.train_examples: list[Example] = []
        self.val_examples: dict[str, list[Example]] = {}

    @abstractmethod
    def examples(self, path: str) -> list[Example]:
        """What a file has to learn from."""

    @property
    def longest(self) -> int:
        """The tokens that a sequence may have: those of a pack and of the child's context."""
        return min(self.pack_tokens, self.module.policy.context)

    @property
    def module(self) -> Imitator:
        """The module that is fed."""
        assert self.trainer is not None
        return cast(Imitator, self.trainer.lightning_module)

    def setup(self, stage: str) -> None:
        """Reads everything."""
        if stage == "fit" and not self.train_examples:
            self.train_examples = [example for path in self.train_paths for example in self._some(path)]
        if not self.val_examples:
            self.val_examples = {name: self._some(path) for name, path in self.val_paths.items()}

    def _some(self, path: str) -> list[Example]:
        found = self.examples(path)
        if not found:
            raise DataError(f"{path}: there is nothing to learn from")
        return found

    def train_dataloader(self) -> TrainPacks:
        """The packs of an epoch, from the one that the module has come to."""
        trainer, module = self.trainer, self.module
        assert trainer is not None
        return TrainPacks(
            self.train_examples,
            PackStream(self.train_examples, self.pack_tokens, module.seed),
            lambda: module.packs_done,
            lambda: trainer.accumulate_grad_batches,
            lambda: trainer.num_training_batches,
        )

    def val_dataloader(self) -> list[ValPacks]:
        """The packs of each validation set."""
        return [ValPacks(name, examples, self.pack_tokens) for name, examples in self.val_examples.items()]

    def transfer_batch_to_device(self, batch: Pack, device: torch.device, dataloader_idx: int) -> Pack:
        """The module moves what it needs."""
        return batch


class AnswerData(PackedData):
    """Prompts with the answers to imitate: .jsonl or .parquet, verl's parquet of ``messages`` too.

    Args:
        chat: put a plain-text prompt into the tokenizer's chat template as a user message, as the rollout will.
        overlong: what happens to rows of more tokens than a pack or the child's context has: ``refuse`` them, or
            ``leave_out``, with a warning that counts them.
    """

    def __init__(
        self,
        train: str,
        val: dict[str, str] | None = None,
        chat: bool = False,
        pack_tokens: int = 4096,
        overlong: Overlong = "refuse",
    ) -> None:
        super().__init__([train], val, pack_tokens)
        if overlong not in get_args(Overlong):
            raise SpecError(f"data.overlong must be {' or '.join(get_args(Overlong))}, not {overlong!r}")
        self.chat, self.overlong = chat, overlong

    def examples(self, path: str) -> list[Example]:
        """An example a row."""
        faults, found, left_out = Faults(), [], 0
        for label, row in stream_rows(path, faults):
            with faults.collect():
                record = read_answer(plain(row), label)
                example = encode_answer(record, self.module.policy, self.chat)
                if len(example.tokens) <= self.longest:
                    found.append(example)
                elif self.overlong == "refuse":
                    raise DataError(
                        f"{label}: prompt and answer have {len(example.tokens)} tokens, and at most {self.longest} fit "
                        f"(context {self.module.policy.context}, data.pack_tokens {self.pack_tokens}); shorten it, or "
                        "set data.overlong: leave_out"
                    )
                else:
                    left_out += 1
        faults.check()
        if left_out:
            warnings.warn(f"{path}: {left_out} rows of more than {self.longest} tokens are left out", stacklevel=2)
        return found


class TextData(PackedData):
    """Texts: .txt or .md (a file is one text), or .jsonl or .parquet with a column ``text``; a folder: all such in it.

    Texts longer than ``pack_tokens`` or the child's context are cut; texts in one pack do not see each other.
    """

    def __init__(self, train: str | list[str], val: dict[str, str] | None = None, pack_tokens: int = 4096) -> None:
        super().__init__([train] if isinstance(train, str) else train, val, pack_tokens)

    def examples(self, path: str) -> list[Example]:
        """The pieces of all texts."""
        policy, longest = self.module.policy, self.longest
        return [piece for text in read_texts(path) for piece in cut_text(text, policy, longest)]


def read_texts(path: str) -> Iterator[str]:
    """The texts of a file, or of all files in a folder by name; empty ones are left out.

    Raises:
        DataError: the file cannot be read, or a row has no text; the message names the row.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        for each in sorted(place.iterdir()):
            if each.suffix in (*_PLAIN_TEXT, ".jsonl", ".parquet"):
                yield from read_texts(str(each))
        return
    if place.suffix in _PLAIN_TEXT:
        try:
            text = place.read_text(encoding="utf-8")
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 text (byte {error.start + 1})") from None
        yield from [text] if text.strip() else []
        return
    faults = Faults()
    for label, row in stream_rows(path, faults):
        value = row.get("text")
        if isinstance(value, str):
            yield from [value] if value.strip() else []
        else:
            names = ", ".join(str(key) for key in list(row)[:8])
            faults.add(f"{label}: field 'text' must be text (the row has: {names or 'nothing'})")
    faults.check()
