"""What of a completion is the policy's own: its words, without the prompt, special tokens, and what tools wrote."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from pgsrm_plugin.data.files import json_type
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.text.clean import prompt_text

if TYPE_CHECKING:
    import torch

    Tokens = Sequence[int] | torch.Tensor

Turns = Literal["own", "last", "all"]
SPECIAL_TOKENS: tuple[str, ...] = (
    *("<s>", "</s>", "<pad>", "<unk>", "<bos>", "<eos>", "[PAD]", "[INST]", "[/INST]"),
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"),
    *("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|finetune_right_pad_id|>", "<|eot|>", "<|header_start|>", "<|header_end|>", "<|return|>", "<|vision_pad|>"),
    *("<start_of_turn>", "<end_of_turn>", "<|startoftext|>", "<|endofprompt|>", "<|endofresponse|>", "<|pad|>"),
    *(
        "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
        "<\uff5c\u2581pad\u2581\uff5c>",
        "<\uff5cUser\uff5c>",
        "<\uff5cAssistant\uff5c>",
    ),
)
"""Tokens of common chat templates that stacks which decode them leave in a completion. Marks of thinking and of
channels are none of them: the spec's ``text`` section reads those."""


def completion_text(
    completion: Any, where: str = "field 'response'", special_tokens: Sequence[str] = SPECIAL_TOKENS
) -> str:
    """A completion as text, special tokens dropped wherever they stand, as tokenizers do.

    Args:
        completion: text; or a chat message, or messages, of which the assistant's last one counts.
        where: how messages call it.

    Raises:
        DataError: it is neither, or has no message of the assistant.
    """
    if isinstance(completion, Mapping) and "content" in completion:
        completion = [{"role": "assistant", **completion}]
    if not isinstance(completion, list) or not is_messages(completion):
        if not isinstance(completion, str):
            raise DataError(f"{where} must be text, not {json_type(completion)}")
        return drop_special_tokens(completion, special_tokens)
    own = [message for message in completion if message["role"] == "assistant"]
    if not own:
        raise DataError(f"{where} has no message of the assistant")
    text = prompt_text([chat_message(own[-1], len(completion), where)])
    return drop_special_tokens(text, special_tokens)


def after_prompt(text: str, prompt: str, special_tokens: Sequence[str] = SPECIAL_TOKENS) -> str:
    """What stands behind the prompt in a text that begins with it, without special tokens.

    Where the text does not begin with the prompt to the letter, both are compared without special tokens and leading
    white space: tokenizers put a token of their own before a prompt, and some a space.

    >>> after_prompt("<s> 1+1=2</s>", "1+1=")
    '2'

    Raises:
        DataError: the text does not begin with the prompt.
    """
    if text.startswith(prompt):
        return drop_special_tokens(text[len(prompt) :], special_tokens)
    bare = drop_special_tokens(text, special_tokens).lstrip()
    asked = drop_special_tokens(prompt, special_tokens).lstrip()
    if not bare.startswith(asked):
        raise DataError(f"the text {text[:80]!r} does not begin with its prompt {prompt[:80]!r}")
    return bare[len(asked) :]


def drop_special_tokens(text: str, special_tokens: Sequence[str] = SPECIAL_TOKENS) -> str:
    """The text without the special tokens, wherever they stand.

    >>> drop_special_tokens("Paris<|im_end|>")
    'Paris'
    """
    return _pattern(tuple(special_tokens)).sub("", text) if special_tokens else text


@functools.lru_cache(maxsize=16)
def _pattern(tokens: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)))


def is_messages(value: Sequence[Any]) -> bool:
    """Whether a list is one of chat messages."""
    return bool(value) and all(isinstance(item, Mapping) and "role" in item for item in value)


def chat_message(message: Any, number: int, field: str = "field 'prompt'") -> dict[str, Any]:
    """A chat message with its content as text or parts, keys without a value left out.

    Raises:
        DataError: it is none; the message names ``field`` and ``number``.
    """
    where = f"{field}: message {number}"
    if not isinstance(message, dict):
        raise DataError(f"{where} must be an object with role and content, not {json_type(message)}")
    if not isinstance(message.get("role"), str):
        raise DataError(f"{where}: 'role' must be text, not {json_type(message.get('role'))}")
    content = message.get("content")
    is_parts = isinstance(content, list) and all(isinstance(part, dict) for part in content)
    calls_tool = content is None and message["role"] == "assistant"
    if not (isinstance(content, str) or is_parts or calls_tool):
        raise DataError(f"{where}: 'content' must be text, not {json_type(content)}")
    return {**{key: value for key, value in message.items() if value is not None}, "content": content or ""}


def response_text(tokenizer: Any, ids: Tokens, own: Sequence[int] | None, turns: Turns = "own") -> str:
    """The text that is scored.

    Args:
        ids: the tokens of the response, those of tools included.
        own: 1 where the policy wrote the token (verl's ``response_mask``); None: nobody said.
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
