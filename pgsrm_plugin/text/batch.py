"""A batch of samples to distinct rows whose texts are clean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from pgsrm_plugin.policy.base import PolicyTokens, Written
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.clean import clean, has_content, prompt_text
from pgsrm_plugin.text.picks import tag_span
from pgsrm_plugin.text.steps import find_answer
from pgsrm_plugin.text.thinking import strip_thinking, visible_spans
from pgsrm_plugin.types import RewardSample, Row, ScoredText, ground_truths

_Key = tuple[str, str, tuple[str, ...], tuple[str, ...], tuple[tuple[str, str], ...], PolicyTokens | None, str]
_NO_TOKENS = PolicyTokens((), ())


@dataclass(frozen=True)
class PreparedBatch:
    """The distinct rows of a batch, in order of first appearance.

    Attributes:
        index_B: each sample's distinct row.
        first: the first sample of each distinct row.
        rows: the distinct rows.
    """

    index_B: torch.Tensor
    first: list[int]
    rows: list[Row]

    def responses(self) -> list[str]:
        """The scorable responses' texts."""
        return [row.response.text for row in self.rows if row.response.unscorable is None]

    def prompts(self) -> list[str]:
        """The prompts' texts."""
        return [row.prompt for row in self.rows]

    def references(self) -> list[str]:
        """The references' texts."""
        return [target for row in self.rows for target in row.targets]


def prepare_batch(
    samples: Sequence[RewardSample],
    spec: TextSpec,
    with_references: bool,
    columns: Sequence[Mapping[str, str]] | None = None,
    with_tokens: bool = False,
    as_given: bool = False,
) -> PreparedBatch:
    """Cleans every distinct row once; without references where no term looks at them.

    Args:
        columns: of each sample, those that switches look at.
        with_tokens: whether rows are told apart by the policy's tokens, too, for terms that ask the policy.
        as_given: whether they are told apart by the turns of their prompts, too, for terms that ask a model which reads
            them by tokens of its own.
    """
    switches: Sequence[Mapping[str, str]] = [{}] * len(samples) if columns is None else columns
    told = {"with_tokens": with_tokens, "as_given": as_given}
    keys = [_key(sample, with_references, own, **told) for sample, own in zip(samples, switches, strict=True)]
    first: dict[_Key, int] = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    position = {key: row for row, key in enumerate(first)}
    references = {text: prepare_reference(text, spec) for _, _, texts, *_ in first for text in texts}
    rows = [
        replace(
            _row(prompt, response, tuple(references[text] for text in texts), truths, spec),
            columns=dict(own),
            written=written(tokens or _NO_TOKENS, response, spec) if tokens is not None or as_given else None,
            asked=samples[place].prompt if as_given else "",
        )
        for (prompt, response, texts, truths, own, tokens, _), place in first.items()
    ]
    return PreparedBatch(torch.tensor([position[key] for key in keys], dtype=torch.int64), list(first.values()), rows)


def prepare(raw: str, spec: TextSpec) -> ScoredText:
    """The scored part of a response."""
    return _scored(_visible(clean(raw, spec), spec), spec)


def prepare_reference(raw: str, spec: TextSpec) -> ScoredText:
    """A reference in the form in which responses are scored; one without the answer's tag or box is taken whole."""
    text = _visible(clean(raw, spec), spec)
    answer = _answer(text, spec)
    return _bounded(text if answer is None else answer, spec)


def written(tokens: PolicyTokens, response: str, spec: TextSpec) -> Written:
    """The response by its tokens.

    With an answer tag, the reasoning is all before the tag whose inside is scored. Without one it is the thinking, and
    the answer begins at the first word after it.

    >>> found = written(PolicyTokens((), ()), "2+2 <answer>4</answer>", TextSpec(answer_tag="answer"))
    >>> found.reasoning, found.answer, found.opening, found.closing
    (4, 12, '<answer>', '</answer>')
    """
    thinking = spec.thinking_tags if spec.strip_thinking else ()
    spans = visible_spans(response, thinking)
    tag = spec.answer_tag
    marks = ("", "") if tag is None else (f"<{tag}>", f"</{tag}>")
    reasoning: int | None = None
    answer: int | None = None
    if tag is not None:
        found = tag_span("".join(response[start:end] for start, end in spans), tag, spec.unclosed)
        if found is not None:
            reasoning, answer = _place(found.mark, spans), _place(found.start - 1, spans) + 1
    elif spans and spans[-1][1] == len(response):
        reasoning, _ = spans[-1]
        answer = len(response) - len(response[reasoning:].lstrip())
    return Written(tokens, response, reasoning, answer, *marks, thinking, spec.unclosed)


def _key(
    sample: RewardSample, with_references: bool, columns: Mapping[str, str], *, with_tokens: bool, as_given: bool
) -> _Key:
    references = tuple(sample.references) if with_references else ()
    truths = ground_truths(sample.ground_truth)
    tokens = sample.tokens if with_tokens else None
    given = json.dumps(sample.prompt, default=dict) if as_given else ""
    return prompt_text(sample.prompt), sample.response, references, truths, tuple(columns.items()), tokens, given


def _row(
    prompt: str, response: str, references: tuple[ScoredText, ...], truths: tuple[str, ...], spec: TextSpec
) -> Row:
    raw = clean(response, spec)
    visible = _visible(raw, spec)
    cleaned = (clean(truth, spec) for truth in truths)
    truths = tuple(truth.lower() if spec.lowercase else truth for truth in cleaned)
    return Row(clean(prompt, spec), raw, visible.strip(), _scored(visible, spec), references, truths)


def _visible(text: str, spec: TextSpec) -> str:
    return strip_thinking(text, spec.thinking_tags) if spec.strip_thinking else text


def _scored(visible: str, spec: TextSpec) -> ScoredText:
    answer = _answer(visible, spec)
    if answer is None:
        return ScoredText("", "", "no answer" if spec.extract else "no answer tag", False)
    return _bounded(answer, spec)


def _answer(text: str, spec: TextSpec) -> str | None:
    return find_answer(text, spec.steps, tag=spec.answer_tag or "", key=spec.answer_key, open_end=spec.unclosed)


def _bounded(text: str, spec: TextSpec) -> ScoredText:
    uncut = text.strip().lower() if spec.lowercase else text.strip()
    text = uncut[: spec.max_chars].rstrip()
    return ScoredText(text, uncut, None if has_content(text) else "empty", len(uncut) > spec.max_chars)


def _place(visible: int, spans: list[tuple[int, int]]) -> int:
    """Where a character of the visible text stands in the whole one."""
    for start, end in spans:
        if visible < end - start:
            return start + visible
        visible -= end - start
    raise AssertionError("it is a character of the visible text")
