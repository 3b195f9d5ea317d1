"""Examples dealt out by a budget of tokens. What a pack holds is a pure function of (seed, number of the pack)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pgsrm_lightning.distributed import rank, world_size
from pgsrm_lightning.supervised.examples import Example


@dataclass(frozen=True)
class Pack:
    """What is computed at once: sequences side by side, each seen by itself only.

    Attributes:
        split: ``train``, or the name of the validation set.
        examples: none on a process of an unevenly divided validation set.
        share: the loss's divisor: the tokens that are learned in the whole optimizer step, over all micro-batches and
            processes, divided by the number of these. So the mean that Lightning takes of them is the mean over tokens.
    """

    split: str
    examples: list[Example]
    share: float = 1.0

    @property
    def targets(self) -> int:
        """How many tokens are learned."""
        return sum(example.targets for example in self.examples)


def fill(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Consecutive ones together as long as they keep within the budget.

    >>> fill([2, 0, 1], [3, 3, 2], budget=5)
    [[2, 0], [1]]
    """
    packs: list[list[int]] = []
    room = 0
    for index in order:
        if not packs or lengths[index] > room:
            packs.append([])
            room = budget
        packs[-1].append(index)
        room -= lengths[index]
    return packs


class PackStream:
    """An endless stream of packs: one shuffled pass over the examples after the other; none holds an example twice.

    Attributes:
        per_pass: packs of the first pass; later ones may take one more or less.
    """

    def __init__(self, examples: Sequence[Example], budget: int, seed: int) -> None:
        self._lengths, self._budget, self._seed = [len(example.tokens) for example in examples], budget, seed
        self._packs: list[list[int]] = []
        self._passes = 0
        self.at(0)
        self.per_pass = len(self._packs)

    def at(self, number: int) -> list[int]:
        """The examples of a pack, as their numbers."""
        while number >= len(self._packs):
            order = np.random.default_rng([self._seed, self._passes]).permutation(len(self._lengths)).tolist()
            self._packs += fill(order, self._lengths, self._budget)
            self._passes += 1
        return self._packs[number]


class TrainPacks:
    """The packs of one epoch. After a resume it goes on with the one that comes next.

    Args:
        done: gives the number of packs that each process has learned from in the whole run.
        accumulated: gives the number of packs, on each process, of an optimizer step.
        limit: gives the packs of an epoch that Lightning takes, where that is fewer.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        stream: PackStream,
        done: Callable[[], int],
        accumulated: Callable[[], int],
        limit: Callable[[], float],
    ) -> None:
        self._examples, self._stream, self._done = examples, stream, done
        self._accumulated, self._limit = accumulated, limit

    def __len__(self) -> int:
        return -(-self._stream.per_pass // world_size())

    def __iter__(self) -> Iterator[Pack]:
        length = int(min(len(self), self._limit()))
        done = self._done()
        for number in range(done, done + length):  # Lightning counts, and stops within an epoch that it resumed
            chosen = self._chosen(number, rank())
            yield Pack("train", chosen, self._share(number, length))

    def _chosen(self, number: int, of: int) -> list[Example]:
        return [self._examples[index] for index in self._stream.at(number * world_size() + of)]

    def _share(self, number: int, length: int) -> float:
        """See :class:`Pack`. A step ends with the epoch, as Lightning has it."""
        most, epoch = self._accumulated(), number // length * length
        first = epoch + (number - epoch) // most * most
        last = min(first + most, epoch + length)
        learned = sum(
            example.targets
            for each in range(first, last)
            for of in range(world_size())
            for example in self._chosen(each, of)
        )
        return learned / (most * world_size())

    def state_dict(self) -> dict[str, int]:
        """Nothing: the module's count says where the data are. With it, Lightning trusts a resume within an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to do; see :meth:`state_dict`."""


class ValPacks:
    """A validation set in packs; every process has equally many, the last of them perhaps empty."""

    def __init__(self, name: str, examples: Sequence[Example], budget: int) -> None:
        packs = fill(range(len(examples)), [len(example.tokens) for example in examples], budget)
        longest = -(-len(packs) // world_size())
        own = packs[rank() :: world_size()]
        own += [[]] * (longest - len(own))
        self._packs = [Pack(name, [examples[index] for index in pack]) for pack in own]

    def __len__(self) -> int:
        return len(self._packs)

    def __iter__(self) -> Iterator[Pack]:
        return iter(self._packs)
