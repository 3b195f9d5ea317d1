"""Padded rows as one sequence without padding, in which rows of one prompt share its tokens.

Shape suffixes: ``B`` rows, ``S`` tokens of prompt and response, ``T`` response tokens, ``N`` tokens of the sequence,
``M`` response tokens of all rows, ``R`` responses to one prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Family:
    """A prompt and the responses to it, side by side in the sequence: first the prompt, then each response.

    Attributes:
        start: where the prompt begins.
        prompt: tokens of the prompt.
        lengths: tokens of each response that stand in the sequence: all but the last, after which nothing is asked.
    """

    start: int
    prompt: int
    lengths: tuple[int, ...]

    @property
    def end(self) -> int:
        """Where the next family begins."""
        return self.start + self.prompt + sum(self.lengths)


@dataclass(frozen=True)
class PackedRows:
    """One sequence that holds all tokens whose successors are asked for.

    Attributes:
        tokens_N, positions_N: the model's input; a response's positions go on from its prompt's.
        families: in the order of the sequence.
        before_M: where in the sequence the token before each response token stands.
        targets_M: the response tokens.
        places_M: the response tokens' places in a flattened (B, T).
        shape: (B, T).
    """

    tokens_N: Tensor
    positions_N: Tensor
    families: tuple[Family, ...]
    before_M: Tensor
    targets_M: Tensor
    places_M: Tensor
    shape: tuple[int, int]

    def unpack(self, values_M: Tensor) -> Tensor:
        """(B, T): each response token's value; 0 past a response's end, and where nothing was asked."""
        flat = values_M.new_zeros(self.shape[0] * self.shape[1])
        return flat.index_copy(0, self.places_M, values_M).view(self.shape)


def pack(tokens_BS: Tensor, attention_BS: Tensor, width: int, skipped: Sequence[int] | None = None) -> PackedRows:
    """Lays rows out; rows with the same prompt become one family, wherever they stand.

    Args:
        tokens_BS: prompts, left-padded, then responses of ``width`` tokens, right-padded.
        attention_BS: 1 on the tokens that are no padding.
        skipped: of each row the first tokens of its response that nothing is asked about; none by default.

    >>> tokens = torch.tensor([[0, 5, 7, 8, 9], [0, 5, 7, 6, 0]])
    >>> packed = pack(tokens, (tokens > 0).long(), 2)
    >>> packed.tokens_N.tolist(), packed.positions_N.tolist()
    ([5, 7, 8], [0, 1, 2])
    >>> packed.families, packed.before_M.tolist(), packed.targets_M.tolist(), packed.places_M.tolist()
    ((Family(start=0, prompt=2, lengths=(1, 0)),), [1, 2, 1], [8, 9, 6], [0, 1, 2])
    """
    split = tokens_BS.shape[1] - width
    tokens, attended = tokens_BS.tolist(), attention_BS.bool().tolist()
    members: dict[tuple[int, ...], list[int]] = {}
    responses: list[list[int]] = []
    for row, (ids, seen) in enumerate(zip(tokens, attended, strict=True)):
        members.setdefault(tuple(_kept(ids[:split], seen[:split])), []).append(row)
        responses.append(_kept(ids[split:], seen[split:]))
    sequence: list[int] = []
    positions: list[int] = []
    families: list[Family] = []
    before: list[int] = []
    targets: list[int] = []
    places: list[int] = []
    for prompt, rows in members.items():
        start, last = len(sequence), len(sequence) + len(prompt) - 1
        sequence += prompt
        positions += range(len(prompt))
        for row in rows:
            response, first = responses[row], len(sequence)
            sequence += response[:-1]
            positions += range(len(prompt), len(prompt) + len(response) - 1)
            skip = 0 if skipped is None else skipped[row]
            before += [last, *range(first, first + len(response) - 1)][skip : len(response)]
            targets += response[skip:]
            places += range(row * width + skip, row * width + len(response))
        families.append(Family(start, len(prompt), tuple(max(0, len(responses[row]) - 1) for row in rows)))
    numbers = (sequence, positions, before, targets, places)
    tokens_N, positions_N, before_M, targets_M, places_M = (
        torch.tensor(column, dtype=torch.long, device=tokens_BS.device) for column in numbers
    )
    shape = (tokens_BS.shape[0], width)
    return PackedRows(tokens_N, positions_N, tuple(families), before_M, targets_M, places_M, shape)


def _kept(ids: Sequence[int], seen: Sequence[bool]) -> list[int]:
    return [token for token, keep in zip(ids, seen, strict=True) if keep]


def side_by_side(sequences: Sequence[Tensor], first: Sequence[int]) -> PackedRows:
    """Lays sequences out one after the other, each a family of its own that has no responses.

    Args:
        sequences: token ids, each (S,).
        first: the place in each sequence of the first token that is asked for, at least 1.

    >>> packed = side_by_side([torch.tensor([5, 7, 8]), torch.tensor([5, 6])], [2, 1])
    >>> packed.tokens_N.tolist(), packed.positions_N.tolist()
    ([5, 7, 8, 5, 6], [0, 1, 2, 0, 1])
    >>> packed.before_M.tolist(), packed.targets_M.tolist()
    ([1, 3], [8, 6])
    """
    device = sequences[0].device
    lengths = [len(each) for each in sequences]
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    before = [
        place
        for start, length, asked in zip(starts, lengths, first, strict=True)
        for place in range(start + asked - 1, start + length - 1)
    ]
    tokens_N, before_M = torch.cat(list(sequences)), torch.tensor(before, device=device)
    return PackedRows(
        tokens_N=tokens_N,
        positions_N=torch.cat([torch.arange(length, device=device) for length in lengths]),
        families=tuple(Family(start, length, ()) for start, length in zip(starts, lengths, strict=True)),
        before_M=before_M,
        targets_M=tokens_N[before_M + 1],
        places_M=torch.arange(len(before), device=device),
        shape=(1, len(before)),
    )
