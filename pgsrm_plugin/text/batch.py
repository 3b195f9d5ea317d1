"""A batch of samples to distinct rows whose texts are clean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pgsrm_plugin.spec.schema import TextSpec
from pgsrm_plugin.text.clean import ScoredText, clean, prepare, prepare_reference, prompt_text, strip_thinking
from pgsrm_plugin.types import PreparedRow, RewardSample

_Key = tuple[str, str, tuple[str, ...], str]


@dataclass(frozen=True)
class PreparedBatch:
    """The distinct rows of a batch, in order of first appearance.

    Attributes:
        index_B: each sample's distinct row.
        first: the first sample of each distinct row.
        rows, responses, references: of each distinct row, what the terms see and how it came about.
    """

    index_B: torch.Tensor
    first: list[int]
    rows: list[PreparedRow]
    responses: list[ScoredText]
    references: list[list[ScoredText]]

    def texts(self) -> list[str]:
        """All texts to embed: scorable responses and references."""
        responses = [response.text for response in self.responses if response.unscorable is None]
        return responses + [reference.text for references in self.references for reference in references]


def prepare_batch(samples: Sequence[RewardSample], spec: TextSpec, with_references: bool) -> PreparedBatch:
    """Cleans every distinct row once; without references where no term looks at them."""
    keys = [_key(sample, with_references) for sample in samples]
    first: dict[_Key, int] = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    position = {key: row for row, key in enumerate(first)}
    responses = [prepare(response, spec) for _, response, _, _ in first]
    known = {text: prepare_reference(text, spec) for _, _, texts, _ in first for text in texts}
    references = [[known[text] for text in texts] for _, _, texts, _ in first]
    rows = [
        _row(key, response, targets, spec) for key, response, targets in zip(first, responses, references, strict=True)
    ]
    index_B = torch.tensor([position[key] for key in keys], dtype=torch.int64)
    return PreparedBatch(index_B, list(first.values()), rows, responses, references)


def _key(sample: RewardSample, with_references: bool) -> _Key:
    references = tuple(sample.references) if with_references else ()
    return prompt_text(sample.prompt), sample.response, references, sample.ground_truth or ""


def _row(key: _Key, response: ScoredText, references: Sequence[ScoredText], spec: TextSpec) -> PreparedRow:
    prompt, raw, _, truth = key
    raw, truth = clean(raw, spec), clean(truth, spec)
    visible = strip_thinking(raw, spec.thinking_tags) if spec.strip_thinking else raw
    return PreparedRow(
        prompt=clean(prompt, spec),
        raw_response=raw,
        visible_response=visible.strip(),
        response=response.text,
        uncut_response=response.uncut,
        references=tuple(reference.text for reference in references),
        ground_truth=truth.lower() if spec.lowercase else truth,
    )
