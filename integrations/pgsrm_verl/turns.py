"""Whose words the tokens of a response are: the policy's own, or what a tool wrote between its turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch

from pgsrm_verl.settings import Turns

Tokens = Sequence[int] | torch.Tensor


def response_text(tokenizer: Any, ids: Tokens, own: Sequence[int] | None, turns: Turns = "own") -> str:
    """The text that is scored.

    Args:
        ids: the tokens of the response, those of tools included.
        own: verl's ``response_mask``: 1 where the policy wrote the token; None: nobody said.
        turns: ``own``: all that the policy wrote; ``last``: its last turn; ``all``: what tools wrote, too.
    """
    if own is None or turns == "all" or all(own):
        return _decode(tokenizer, ids)
    texts = [_decode(tokenizer, ids[start:end]) for start, end in own_turns(own)]
    return join_turns(texts if turns == "own" else texts[-1:])


def own_turns(own: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of the policy's tokens.

    >>> list(own_turns([1, 1, 0, 0, 1]))
    [(0, 2), (4, 5)]
    """
    start = 0
    for is_own, run in groupby(own, key=bool):
        end = start + len(list(run))
        if is_own:
            yield start, end
        start = end


def join_turns(texts: Sequence[str]) -> str:
    """The turns as one text: on a line of their own where no white space parts them, so that no two words become one.

    >>> join_turns(["It is", "Paris", "", " I think."])
    'It is\\nParis I think.'
    """
    joined = ""
    for text in filter(None, texts):
        parted = not joined or joined[-1].isspace() or text[0].isspace()
        joined += text if parted else f"\n{text}"
    return joined


def _decode(tokenizer: Any, ids: Tokens) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    return text
