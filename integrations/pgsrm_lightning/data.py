"""Prompts for training and validation. The batch of step t is a pure function of (seed, t, rank)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from lightning.pytorch import LightningDataModule

from pgsrm_lightning.config import SamplingConfig
from pgsrm_lightning.distributed import rank, world_size
from pgsrm_plugin.data.rows import Record, read_records
from pgsrm_plugin.errors import SpecError


class PromptUser(Protocol):
    """What :class:`PromptData` asks of the module that it feeds."""

    seed: int
    sampling: SamplingConfig
    steps_done: int

    def check_records(self, records: Sequence[Record], split: str) -> None:
        """Raises DataError at a row that cannot be presented or scored."""


@dataclass(frozen=True)
class PromptBatch:
    """One process's prompts of a step.

    Attributes:
        step: the training step that they belong to; the number of the batch in validation.
        split: ``train``, or the name of the validation set.
        records: may be empty on a process of an unevenly divided validation set.
    """

    step: int
    split: str
    records: list[Record]


class PromptStream:
    """An endless stream of prompts: one shuffled pass after the other, each step taking the next ``per_step``.

    Args:
        together: so many neighbouring rows move as one, and fall to one process; divides both other numbers.
    """

    def __init__(self, records: list[Record], per_step: int, seed: int, together: int = 1) -> None:
        self._blocks = [records[start : start + together] for start in range(0, len(records), together)]
        self._per_step, self._seed = per_step // together, seed
        self._order = functools.lru_cache(maxsize=2)(self._shuffled)

    def at(self, step: int, rank: int = 0, world: int = 1) -> list[Record]:
        """The prompts of a step that fall to a process: every ``world``-th block, from ``rank``."""
        positions = range(step * self._per_step + rank, (step + 1) * self._per_step, world)
        size = len(self._blocks)
        blocks = [self._blocks[self._order(position // size)[position % size]] for position in positions]
        return [record for block in blocks for record in block]

    def _shuffled(self, epoch: int) -> list[int]:
        order: list[int] = np.random.default_rng([self._seed, epoch]).permutation(len(self._blocks)).tolist()
        return order


class PromptData(LightningDataModule):
    """Reads prompt files (.jsonl or .parquet; verl's RL parquet too) and deals them out.

    Args:
        train: file of training prompts with their references.
        val: validation files by name; each gives ``val/<name>/accuracy``, ``/semantic`` and ``/reward``.
        prompts_per_step: prompts of one step over all processes; each is answered ``group_size`` times.
        steps: steps of one epoch; None: one pass over the prompts. The stream goes on from epoch to epoch.
        together: so many neighbouring rows of the file are answered in one step by one process, as a prompt and its
            paraphrases for ``consensus``.

    Raises:
        SpecError: a number is below 1, or ``together`` divides not the prompts of a step, or not those of the file.
        DataError: on setup, where a file cannot be read or a row be used; the message names file, row and field.
    """

    def __init__(
        self,
        train: str,
        val: dict[str, str] | None = None,
        prompts_per_step: int = 32,
        steps: int | None = None,
        together: int = 1,
    ) -> None:
        super().__init__()
        if prompts_per_step < 1 or together < 1 or (steps is not None and steps < 1):
            raise SpecError("data: prompts_per_step, steps and together must be at least 1")
        if prompts_per_step % together:
            raise SpecError(f"data.together is {together}, which does not divide prompts_per_step {prompts_per_step}")
        self.train_path, self.val_paths = train, dict(val or {})
        self.prompts_per_step, self.steps, self.together = prompts_per_step, steps, together
        self.train_records: list[Record] = []
        self.val_records: dict[str, list[Record]] = {}

    def setup(self, stage: str) -> None:
        """Reads and checks every row, before any training."""
        if self.prompts_per_step // self.together < world_size():
            raise SpecError(
                f"data.prompts_per_step is {self.prompts_per_step}, but there are {world_size()} processes; "
                f"give each at least {self.together} prompt{'s' * (self.together > 1)}"
            )
        if stage == "fit" and not self.train_records:
            records = self._checked(self.train_path, "train")
            if len(records) % self.together:
                raise SpecError(
                    f"data.together is {self.together}, which does not divide the {len(records)} prompts of "
                    f"{self.train_path}"
                )
            self.train_records = records
        if not self.val_records:
            self.val_records = {name: self._checked(path, "val") for name, path in self.val_paths.items()}

    def train_dataloader(self) -> TrainBatches:
        """The batches of an epoch, from the step that the module has come to."""
        steps = self.steps or -(-len(self.train_records) // self.prompts_per_step)
        stream = PromptStream(self.train_records, self.prompts_per_step, self._module.seed, self.together)
        return TrainBatches(stream, steps, lambda: self._module.steps_done)

    def val_dataloader(self) -> list[ValBatches]:
        """The batches of each validation set."""
        size = self._module.sampling.eval_batch_size
        return [ValBatches(name, records, size) for name, records in self.val_records.items()]

    def transfer_batch_to_device(self, batch: PromptBatch, device: torch.device, dataloader_idx: int) -> PromptBatch:
        """Prompts are text; there is nothing to move."""
        return batch

    def _checked(self, path: str, split: str) -> list[Record]:
        records = read_records(path, responses=False)
        self._module.check_records(records, split)
        return records

    @property
    def _module(self) -> PromptUser:
        assert self.trainer is not None
        return cast(PromptUser, self.trainer.lightning_module)


class TrainBatches:
    """The steps of one epoch. After a resume it goes on with the step that comes next.

    Args:
        steps_done: gives the number of steps that the whole run has taken.
    """

    def __init__(self, stream: PromptStream, steps: int, steps_done: Callable[[], int]) -> None:
        self._stream, self._steps, self._steps_done = stream, steps, steps_done

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[PromptBatch]:
        done = self._steps_done()
        for step in range(done, done + self._steps):  # Lightning counts, and stops within an epoch that it resumed
            yield PromptBatch(step, "train", self._stream.at(step, rank(), world_size()))

    def state_dict(self) -> dict[str, int]:
        """Nothing: the module's step says where the data are. With it, Lightning trusts a resume within an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to do; see :meth:`state_dict`."""


class ValBatches:
    """A validation set, dealt out in batches; every process has equally many, the last of them perhaps empty."""

    def __init__(self, name: str, records: list[Record], size: int) -> None:
        own, longest = records[rank() :: world_size()], -(-len(records) // world_size())
        self._batches = [
            PromptBatch(number, name, own[start : start + size]) for number, start in enumerate(range(0, longest, size))
        ]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[PromptBatch]:
        return iter(self._batches)
