"""A conversation as the text that a causal language model continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def joined(messages: Sequence[Mapping[str, str]]) -> str:
    """What a model without a chat template reads: the messages, with an empty line between two.

    Raises:
        ValueError: the parent speaks in it: without a template nothing would tell its words from the others'.
    """
    if any(message["role"] == "assistant" for message in messages):
        raise ValueError("the prompt has a turn of the assistant, and the model's tokenizer no chat template")
    return "\n\n".join(message["content"] for message in messages)


def cut_at(text: str, stops: Sequence[str]) -> str | None:
    """The text before the first stop text; None where there is none."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else None
