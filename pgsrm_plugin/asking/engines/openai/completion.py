"""The request to a chat completions endpoint and the sense of its answer."""

from __future__ import annotations

import json
from typing import Any

from pgsrm_plugin.asking.engines.base import Completion
from pgsrm_plugin.asking.store.answers import ParentConfig, Request
from pgsrm_plugin.endpoint import BadAnswerError


def request_body(request: Request, config: ParentConfig, max_tokens_field: str) -> bytes:
    """The JSON document that asks for one answer; settings that are None or say nothing are left out."""
    sampling = config.sampling
    body: dict[str, Any] = {
        "model": config.model,
        "messages": request.messages(config),
        max_tokens_field: sampling.max_tokens,
    }
    if sampling.temperature is not None:
        body["temperature"] = sampling.temperature
    if sampling.top_p != 1.0:
        body["top_p"] = sampling.top_p
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    seed = request.seed(config)
    if seed is not None:
        body["seed"] = seed
    body |= sampling.extra
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def parse_answer(content: bytes) -> Completion:
    """The first choice of an answer; see :func:`read_answer`.

    Raises:
        BadAnswerError: it is not JSON, or no answer.
    """
    try:
        answer: Any = json.loads(content)
    except (ValueError, RecursionError):
        raise BadAnswerError("an answer that is not JSON") from None
    return read_answer(answer)


def read_answer(answer: Any, number: int = 0) -> Completion:
    """A choice of an answer, whose content may be text, parts or nothing.

    Raises:
        BadAnswerError: it has no such choice, or its choice no message: whoever answers so is out of order.
    """
    if not isinstance(answer, dict):
        raise BadAnswerError("JSON that is no object")
    choices = answer.get("choices")
    if not isinstance(choices, list) or not isinstance(choice := (choices[number:] or [None])[0], dict):
        raise BadAnswerError(f"no choice{_message(answer)}")
    message, (asked, answered) = choice.get("message"), usage(answer)
    if not isinstance(message, dict):
        raise BadAnswerError(f"a choice without a message{_message(choice)}")
    content = message.get("content")
    if content is not None and not isinstance(content, str) and not is_parts(content):
        raise BadAnswerError(f"a message whose content is a {type(content).__name__}, not text")
    text, blank = _said(message)
    return Completion(
        text=text,
        finish_reason=_text(choice.get("finish_reason")),
        refusal=_text(message.get("refusal")) or _of_parts(content, "refusal") or None,
        prompt_tokens=asked,
        completion_tokens=answered,
        served_model=_text(answer.get("model")),
        blank=blank,
        first_token=_first_token(choice),
    )


_MOST_LOGPROB = 0.01
"""0, and what reduced precision adds; what is greater, or not a number, is no logarithm of a probability."""


def _first_token(choice: dict[str, Any]) -> dict[str, float] | None:
    """The log-probabilities of the candidates for the first token; None where the answer has none in OpenAI's form."""
    try:
        candidates = choice["logprobs"]["content"][0]["top_logprobs"]
        # A token may come twice, whose bytes are not the same.
        found = {str(one["token"]): float(one["logprob"]) for one in reversed(candidates)}
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        return None
    return found if found and all(value <= _MOST_LOGPROB for value in found.values()) else None


def usage(answer: Any) -> tuple[int | None, int | None]:
    """The tokens of the prompt and of the answer, as far as an answer says."""
    found = answer.get("usage") if isinstance(answer, dict) else None
    found = found if isinstance(found, dict) else {}
    return _count(found.get("prompt_tokens")), _count(found.get("completion_tokens"))


def billed(content: bytes) -> tuple[int | None, int | None]:
    """The :func:`usage` of an answer that is of no use otherwise."""
    try:
        return usage(json.loads(content))
    except (ValueError, RecursionError):
        return None, None


def is_parts(content: Any) -> bool:
    """Whether a content is a list of parts, or of texts."""
    return isinstance(content, list) and all(isinstance(part, str | dict) for part in content)


_SPOKEN = ("text", "output_text", "refusal")
_REASONING = ("reasoning_content", "reasoning")


def _said(message: dict[str, Any]) -> tuple[str, str | None]:
    """The text of a message, and why there is none; reasoning without an answer is kept as thinking."""
    content = message["content"] if isinstance(message.get("content"), str) else _of_parts(message.get("content"))
    if content.strip():
        return content, None
    for name in _REASONING:
        if isinstance(thought := message.get(name), str) and thought.strip():
            return f"<think>{thought}</think>", (
                f"the endpoint put all of the answer into {name}, and content is empty: its reasoning parser took it "
                "for thinking; serve the model with the parser that fits it, or with none"
            )
    if message.get("tool_calls"):
        return content, "the parent called a tool, and content is empty"
    if isinstance(message.get("content"), list):
        kinds = {str(part.get("type")) for part in message["content"] if isinstance(part, dict)}
        return content, f"content has no part with text, but {', '.join(sorted(kinds)) or 'none'}"
    return content, None


def _of_parts(content: Any, key: str = "text") -> str:
    """The text of the parts; those of thinking have another key, or another type."""
    parts = content if isinstance(content, list) else []
    parts = [{"text": part} if isinstance(part, str) else part for part in parts]
    found = (part.get(key) for part in parts if part.get("type", "text") in _SPOKEN)
    return "".join(one for one in found if isinstance(one, str))


def _message(answer: dict[str, Any]) -> str:
    """What some gateways say, with status 200, in the place of choices."""
    error = answer.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return f", but the error {message[:200]!r}" if isinstance(message, str) else ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
