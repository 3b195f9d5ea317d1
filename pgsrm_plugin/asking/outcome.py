"""From what an engine gave to what the store records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from pgsrm_plugin.asking.answer_extraction import Extractor, spoken
from pgsrm_plugin.asking.engines.base import Completion
from pgsrm_plugin.asking.finish_reasons import ending_of
from pgsrm_plugin.asking.store.answers import Answer, ParentConfig, Request, Status, plain_prompt, settings_of
from pgsrm_plugin.text.clean import has_content


def make_answer(
    request: Request, config: ParentConfig, completion: Completion, extract: Extractor, settings: Mapping[str, Any]
) -> Answer:
    """The record of one finished call.

    Args:
        extract: finds the reference; see :func:`~pgsrm_plugin.asking.answer_extraction.build_extractor`.
        settings: what the engine tells of itself.
    """
    status, reference, error = _judge(completion, extract)
    return Answer(
        key=request.key(config),
        call=request.call(config),
        item=request.item,
        sample=request.sample,
        prompt=plain_prompt(request.prompt),
        status=status,
        text=completion.text,
        reference=reference,
        error=error,
        finish_reason=completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        attempts=completion.attempts,
        model=config.model,
        engine=config.engine,
        revision=config.revision,
        served_model=completion.served_model,
        settings={**settings, **settings_of(config)},
        created=_now(),
        permanent=completion.permanent,
        first_token=completion.first_token,
    )


def extract_again(request: Request, config: ParentConfig, earlier: Answer, extract: Extractor) -> Answer:
    """The record under another extraction rule, of a call that was answered already: nothing is asked."""
    completion = Completion(
        text=earlier.text,
        finish_reason=earlier.finish_reason,
        refusal=earlier.error if earlier.status == "refused" else None,
        blank=earlier.error if earlier.status == "empty" else None,
        prompt_tokens=earlier.prompt_tokens,
        completion_tokens=earlier.completion_tokens,
        served_model=earlier.served_model,
        attempts=0,
    )
    made = make_answer(request, config, completion, extract, earlier.settings)
    error = earlier.error if earlier.status == "refused" else made.error
    return dataclasses.replace(made, engine=earlier.engine, error=error)


def as_judged_now(answer: Answer) -> Answer:
    """A record of an earlier version by today's rules: a reference without thinking, or none where nothing is left."""
    if answer.reference is None:
        return answer
    said = spoken(answer.reference).strip()
    completion = Completion(text=answer.text, finish_reason=answer.finish_reason)
    status, reference, error = _judge(completion, lambda text: said if has_content(said) else None)
    if reference == answer.reference:
        return answer
    return dataclasses.replace(answer, status=status, reference=reference, error=error)


def _judge(completion: Completion, extract: Extractor) -> tuple[Status, str | None, str | None]:
    """Status, reference and error."""
    if completion.refusal is not None:
        return "refused", None, f"the parent declined: {completion.refusal}"
    if completion.error is not None:
        return "failed", None, completion.error
    ending, named = ending_of(completion.finish_reason), f"finish reason {completion.finish_reason!r}"
    if ending == "filtered":
        return "refused", None, f"the endpoint's content filter stopped the answer ({named})"
    if ending == "cut":
        return "truncated", None, f"the answer was cut after {len(completion.text)} characters ({named})"
    if ending == "broken":
        return "failed", None, f"the answer was broken off ({named})"
    if not has_content(spoken(completion.text)):
        thought = "the answer is nothing but thinking" if has_content(completion.text) else "the answer is blank"
        return "empty", None, completion.blank or thought
    reference = extract(completion.text)
    if not reference:
        return "unextracted", None, "the extraction rule found nothing in the answer"
    return "ok", reference, None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")
