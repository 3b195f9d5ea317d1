"""The request to a chat completions endpoint and the sense of its answer."""

from __future__ import annotations

import json
from typing import Any

from pgsrm_plugin.endpoint import BadAnswerError
from pgsrm_plugin.parents.engines.base import Completion
from pgsrm_plugin.parents.store.answers import ParentConfig, Request


def request_body(request: Request, config: ParentConfig, max_tokens_field: str) -> bytes:
    """The JSON document that asks for one answer; settings that are None or say nothing are left to the endpoint."""
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
    return json.dumps(body | dict(sampling.extra)).encode()


def parse_answer(content: bytes) -> Completion:
    """The first choice of an answer.

    Raises:
        BadAnswerError: it is not JSON, has no choice, or its choice has no text and no reason for that.
    """
    try:
        answer: Any = json.loads(content)
    except (ValueError, RecursionError):
        raise BadAnswerError("an answer that is not JSON") from None
    if not isinstance(answer, dict):
        raise BadAnswerError("JSON that is no object")
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BadAnswerError(f"no choice{_message(answer)}")
    choice, usage = choices[0], answer.get("usage")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise BadAnswerError("a choice without a message")
    text, refusal, finish_reason = message.get("content"), message.get("refusal"), _text(choice.get("finish_reason"))
    if text is not None and not isinstance(text, str):
        raise BadAnswerError(f"a message whose content is a {type(text).__name__}, not text")
    if text is None and not refusal and finish_reason not in ("length", "content_filter"):
        raise BadAnswerError("a message without content")
    usage = usage if isinstance(usage, dict) else {}
    return Completion(
        text=text or "",
        finish_reason=finish_reason,
        refusal=_text(refusal) or None,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        served_model=_text(answer.get("model")),
    )


def _message(answer: dict[str, Any]) -> str:
    """What some gateways say, with status 200, in the place of choices."""
    error = answer.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return f", but the error {message[:200]!r}" if isinstance(message, str) else ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
