"""Token sequences to learn from: an answer after its prompt, or a piece of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import prompt_tokens
from pgsrm_plugin.data.rows import Record, parse_row
from pgsrm_plugin.errors import DataError


@dataclass(frozen=True)
class Example:
    """A sequence, of which a part is learned.

    Attributes:
        tokens: int32, the whole sequence.
        first: the place of the first token that is learned, at least 1; all after it are learned too.
    """

    tokens: NDArray[np.int32]
    first: int

    @property
    def targets(self) -> int:
        """How many tokens are learned."""
        return len(self.tokens) - self.first


def read_answer(row: Mapping[str, Any], label: str) -> Record:
    """A row as prompt and the response to be imitated.

    A row has ``messages`` (a chat whose last message is the assistant's, verl's layout for supervised fine-tuning), or
    ``prompt`` with ``response``, or with ``reference`` or ``references``, of which the first is imitated.

    Raises:
        DataError: it has none of these, or what is to be imitated is empty.
    """
    messages = row.get("messages")
    if messages is not None:
        if not isinstance(messages, list) or len(messages) < 2:
            raise DataError(f"{label}: field 'messages' must be a list of at least two chat messages")
        *asked, last = messages
        if not isinstance(last, Mapping) or last.get("role") != "assistant":
            raise DataError(f"{label}: the last of 'messages' must be the assistant's: it is what is learned")
        row = {"prompt": asked, "response": last.get("content")}
    given = row.get("response") is not None
    (record,) = parse_row(row, label, responses=given, judged=False)[:1]
    response = record.response if given else next(iter(record.references), None)
    if response is None:
        raise DataError(f"{label}: there is nothing to imitate: give 'response', 'reference' or 'messages'")
    if not response.strip():
        raise DataError(f"{label}: what is to be imitated is empty")
    return replace(record, response=response.strip())


def encode_answer(record: Record, policy: Policy, chat: bool) -> Example:
    """The prompt's tokens as a rollout has them, the response's, and the token that ends it; the prompt is not learned.

    Where the prompt is text, not a chat, a space stands between the two.

    Raises:
        DataError: the prompt cannot be presented (:func:`~pgsrm_lightning.rollout.generate.prompt_tokens`).
    """
    asked = prompt_tokens(record, policy, chat)
    plain = isinstance(record.prompt, str) and not chat
    space = " " if plain and not str(record.prompt)[-1:].isspace() else ""
    answer = policy.tokenizer(f"{space}{record.response}", add_special_tokens=False)["input_ids"]
    return Example(np.array([*asked, *answer, policy.eos_ids[0]], dtype=np.int32), len(asked))


def cut_text(text: str, policy: Policy, longest: int) -> Iterator[Example]:
    """A text in pieces of at most ``longest`` tokens; each of its tokens, and its end, is learned once.

    The first piece begins with what this tokenizer begins a text with, or with the end-of-text token; the others with
    the last token of the one before.
    """
    end = policy.eos_ids[0]
    plain = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    whole = policy.tokenizer(text)["input_ids"]
    begins = [token for token in whole[:1] if token == policy.tokenizer.bos_token_id] or [end]
    tokens = np.array([*begins, *plain, end], dtype=np.int32)
    for start in range(0, len(tokens) - 1, longest - 1):
        yield Example(tokens[start : start + longest], 1)
