"""Answers of a parent for tests, made without one."""

from __future__ import annotations

from pgsrm_plugin.asking.store.answers import Answer, ParentConfig, Request, Sampling, settings_of

CONFIG = ParentConfig("openai", "parent-1", sampling=Sampling(temperature=0.7, max_tokens=32))


def answer(
    prompt,
    text="",
    *,
    sample: int = 0,
    status: str = "ok",
    reference: str | None = None,
    item: str = "",
    error: str | None = None,
    config: ParentConfig = CONFIG,
) -> Answer:
    """An answer under a config; an ok one's reference is its text unless given."""
    request = Request(prompt, sample, item)
    reference = (reference or text) if status == "ok" else None
    return Answer(
        key=request.key(config),
        call=request.call(config),
        item=item,
        sample=sample,
        prompt=prompt,
        status=status,
        text=text,
        reference=reference,
        error=error,
        finish_reason="length" if status == "truncated" else "stop",
        prompt_tokens=7,
        completion_tokens=3,
        attempts=1,
        model=config.model,
        engine=config.engine,
        revision=config.revision,
        served_model=None,
        settings={**settings_of(config), "base_url": "http://127.0.0.1:1/v1"},
        created="2026-01-02T03:04:05.000006+00:00",
    )
