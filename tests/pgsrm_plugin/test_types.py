"""Embeddings put together and taken apart."""

from __future__ import annotations

import pytest
import torch

from pgsrm_plugin.types import Embeddings


def embeddings(*numbers: int, unknown: list[bool] | None = None) -> Embeddings:
    return Embeddings(
        torch.tensor([[float(number), 0.5] for number in numbers]).reshape(-1, 2),
        torch.tensor(numbers, dtype=torch.int64),
        torch.tensor([number > 2 for number in numbers], dtype=torch.bool),
        None if unknown is None else torch.tensor(unknown, dtype=torch.bool),
    )


def lists(found: Embeddings) -> tuple:
    unknown = None if found.unknown_N is None else found.unknown_N.tolist()
    return found.vectors_ND.tolist(), found.tokens_N.tolist(), found.truncated_N.tolist(), unknown


def test_take_gives_the_texts_of_an_index_in_its_order() -> None:
    taken = embeddings(1, 2, 3, unknown=[True, False, False]).take(torch.tensor([2, 0, 2]))
    assert lists(taken) == ([[3.0, 0.5], [1.0, 0.5], [3.0, 0.5]], [3, 1, 3], [True, False, True], [False, True, False])
    assert embeddings(1, 2).take(torch.tensor([1])).unknown_N is None


@pytest.mark.parametrize(
    ("first", "second", "unknown"),
    [(None, None, None), ([True], None, [True, False, False]), (None, [False, True], [False, False, True])],
)
def test_concat_gives_the_texts_of_all_parts(first, second, unknown) -> None:
    whole = Embeddings.concat([embeddings(3, unknown=first), embeddings(), embeddings(1, 2, unknown=second)])
    assert lists(whole) == ([[3.0, 0.5], [1.0, 0.5], [2.0, 0.5]], [3, 1, 2], [True, False, False], unknown)
