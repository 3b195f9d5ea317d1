"""What a run of generation would ask and cost, without asking anything."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from pgsrm_plugin.asking.engines.render import joined
from pgsrm_plugin.asking.store.answers import Answer, ParentConfig, Request, Status
from pgsrm_plugin.parents.export.references import settings_id
from pgsrm_plugin.parents.generation.prompts import PromptRow, distinct

_CHARS_A_TOKEN = 4
_TURN_TOKENS = 4
_SHOWN = 3


class Known(Protocol):
    """The answers that there are."""

    def status(self, key: str) -> Status | None: ...
    def by_call(self, call: str) -> Answer | None: ...
    def answers(self) -> Iterator[Answer]: ...


@dataclass(frozen=True)
class Plan:
    """The account of a run that is yet to come.

    Attributes:
        prompts: distinct ones.
        answers: wanted, samples included.
        known: of these, in the store with a reference.
        failed: of these, in the store as failures, which are not asked again by themselves.
        extracted_again: of these, answered before under another extraction rule; nothing is asked.
        calls: to the parent.
        prompt_tokens: of all calls together.
        most_tokens: that the answers can have, by ``max_tokens``.
        likely_tokens: that they will have, by the mean of the store's answers under these settings; None without any.
        counted: how prompt tokens were counted.
        rendered: the first prompts as the parent reads them.
    """

    prompts: int
    answers: int
    known: int
    failed: int
    extracted_again: int
    calls: int
    prompt_tokens: int
    most_tokens: int
    likely_tokens: int | None
    counted: str
    rendered: tuple[str, ...]

    def cost(self, price_in: float, price_out: float) -> tuple[float, float | None]:
        """The most that it can cost, and what it will likely cost; prices are those of a million tokens."""
        asked = self.prompt_tokens * price_in / 1e6
        likely = None if self.likely_tokens is None else asked + self.likely_tokens * price_out / 1e6
        return asked + self.most_tokens * price_out / 1e6, likely


class Renderer:
    """Prompts as the parent reads them, and their tokens: by the model's tokenizer where it can be had."""

    def __init__(self, config: ParentConfig) -> None:
        self._config = config
        self._tokenizer = load_tokenizer(config)
        self.counted = (
            f"an estimate: {_CHARS_A_TOKEN} characters a token, 1 for Chinese, Japanese and Korean, and {_TURN_TOKENS} "
            f"tokens a message; the tokenizer of {config.model} is not on this machine"
        )
        if self._tokenizer is not None:
            self.counted = f"by the tokenizer of {config.model}"

    def text(self, request: Request) -> str:
        messages = request.messages(self._config)
        if self._tokenizer is None or self._config.engine == "openai":
            return "\n".join(f"[{turn['role']}] {turn['content']}" for turn in messages)
        try:
            return self._template(messages)
        except Exception as error:  # whatever a model's template or tokenizer raises; the run records it as a failure
            return f"[cannot be rendered, so this call will fail: {type(error).__name__}: {error}]"

    def tokens(self, request: Request) -> int:
        messages = request.messages(self._config)
        if self._tokenizer is not None:
            special = not self._tokenizer.chat_template
            with contextlib.suppress(Exception):
                return len(self._tokenizer(self._template(messages), add_special_tokens=special)["input_ids"])
        return sum(_TURN_TOKENS + estimate_tokens(turn["content"]) for turn in messages)

    def _template(self, messages: list[dict[str, str]]) -> str:
        assert self._tokenizer is not None
        if not self._tokenizer.chat_template:
            return joined(messages)
        text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text


def make_plan(
    rows: Iterable[PromptRow], samples: int, config: ParentConfig, store: Known | None, limit: int | None = None
) -> Plan:
    """Looks at every prompt once; memory does not grow with their texts.

    Raises:
        DataError: a row is wrong.
        SpecError: a setting cannot be part of a key.
    """
    renderer, rendered = Renderer(config), list[str]()
    prompts = known = failed = again = calls = tokens = 0
    for row in distinct(rows, limit):
        prompts += 1
        if len(rendered) < _SHOWN:
            rendered.append(renderer.text(Request(row.prompt)))
        state = [_state(Request(row.prompt, sample), config, store) for sample in range(samples)]
        known += state.count("ok")
        failed += state.count("failed")
        again += state.count("again")
        if missing := state.count("missing"):
            calls += missing
            tokens += missing * renderer.tokens(Request(row.prompt))
    mean = mean_answer_tokens(config, store)
    likely = None if mean is None else round(mean * calls)
    most = calls * config.sampling.max_tokens
    return Plan(
        prompts, prompts * samples, known, failed, again, calls, tokens, most, likely, renderer.counted, tuple(rendered)
    )


def _state(request: Request, config: ParentConfig, store: Known | None) -> str:
    status = None if store is None else store.status(request.key(config))
    if status is not None:
        return "ok" if status == "ok" else "failed"
    return "again" if store is not None and store.by_call(request.call(config)) is not None else "missing"


def mean_answer_tokens(config: ParentConfig, store: Known | None) -> float | None:
    """The mean length of the store's answers under these settings, in the parent's tokens; None without any."""
    own, lengths = settings_id(config), list[int]()
    for answer in store.answers() if store is not None else ():
        if answer.completion_tokens is not None and settings_id(answer.config) == own:
            lengths.append(answer.completion_tokens)
    return sum(lengths) / len(lengths) if lengths else None


def estimate_tokens(text: str) -> int:
    """A rough count without a tokenizer: 4 characters a token, 1 for scripts that are written without spaces.

    >>> estimate_tokens("red and yellow is"), estimate_tokens("\u5929\u7a7a")
    (5, 2)
    """
    dense = sum("\u2e80" <= character <= "\ud7ff" for character in text)
    return dense + -(-(len(text) - dense) // _CHARS_A_TOKEN)


def load_tokenizer(config: ParentConfig) -> Any | None:
    """The model's tokenizer; None where it cannot be had. An endpoint's is taken only if it is on this machine."""
    from transformers import AutoTokenizer

    load: Callable[..., Any] = AutoTokenizer.from_pretrained
    try:
        return load(
            config.model, revision=config.revision, trust_remote_code=False, local_files_only=config.engine == "openai"
        )
    except Exception:  # whatever a hub, a folder or a tokenizer's code raises: an estimate takes its place
        return None
