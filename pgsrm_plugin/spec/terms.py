"""The ``terms`` section: one model a kind of term."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from pgsrm_plugin.spec.base import Section, TagName


def _compiles(pattern: str | None) -> str | None:
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
    return pattern


Grid = Annotated[float, Field(gt=0, le=0.1)]
"""The step of a grid that values of a term are rounded to."""
_QUANTISE = "round values to multiples of this (1e-4, say), so that rewards within the encoder's noise are ties"


class FloorSpec(Section):
    """The cosine of unrelated texts under one encoder, as ``pgsrm calibrate`` measures it."""

    value: float = Field(ge=-1.0, lt=1.0)
    encoder: str = Field(description="identity of the encoder that it was measured with")
    pairs: int | None = Field(None, ge=1, description="mismatched pairs it was measured on")


class SemanticSpec(Section):
    """Similarity of response and reference in embedding space."""

    kind: Literal["semantic"] = "semantic"
    transform: Literal["clipped", "affine", "euclidean", "calibrated"] = Field(
        "clipped",
        description="clipped: max(0, cos)^alpha (the PGSRM paper); affine: ((cos+1)/2)^alpha (its code); "
        "euclidean: 1 - distance; calibrated: max(0, (cos-floor)/(1-floor))^alpha",
    )
    alpha: float = Field(1.0, gt=0, le=64, description="sharpening exponent")
    floor: FloorSpec | None = Field(None, description="for calibrated; see `pgsrm calibrate`")
    references: Literal["max", "mean", "softmax"] = Field("max", description="how several references combine")
    temperature: float = Field(0.1, ge=1e-4, description="of the softmax over the references' cosines")
    quantise: Grid | None = Field(None, description=_QUANTISE)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.transform == "calibrated" and self.floor is None:
            raise ValueError("transform: calibrated needs a floor; measure it with `pgsrm calibrate DATA --spec SPEC`")
        if self.transform != "calibrated" and self.floor is not None:
            raise ValueError(f"floor belongs to transform: calibrated, not to {self.transform}")
        if self.transform == "euclidean" and "alpha" in self.model_fields_set:
            raise ValueError("alpha has no meaning for transform: euclidean; remove it")
        return self


class ContrastSpec(Section):
    """How clearly the response is nearer to its reference than to the answers of other prompts."""

    kind: Literal["contrast"] = "contrast"
    others: tuple[str, ...] = Field(min_length=1, description="answers to other prompts, embedded as they are written")
    temperature: float = Field(0.1, ge=1e-4, description="of the softmax over the cosines; lower: closer to 0 or 1")


class ExactMatchSpec(Section):
    """1 if the response equals a reference (or the ground truth), else 0: the binary baseline."""

    kind: Literal["exact_match"] = "exact_match"
    against: Literal["references", "ground_truth"] = "references"
    casefold: bool = Field(True, description="compare lower-case; surrounding white space never counts")


class CorrectnessSpec(Section):
    """1 if the answer extracted from the response equals the ground truth, else 0."""

    kind: Literal["correctness"] = "correctness"
    extract: Literal["tag", "regex", "choice", "whole"] = Field(
        "tag", description="tag: inside <tag>; regex: first group; choice: a letter such as 'B' or '(B)'; whole: all"
    )
    tag: TagName = "answer"
    pattern: str | None = Field(None, description="for regex; its first group is the answer")
    choices: str = Field("ABCDE", pattern=r"^[A-Z]{2,26}$", description="for choice: the letters there are")
    compare: Literal["text", "number"] = Field("text", description="text ignores case and white space")

    _pattern = field_validator("pattern")(_compiles)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.extract == "regex") != (self.pattern is not None):
            raise ValueError("pattern belongs to extract: regex, and is required there")
        if self.pattern is not None and re.compile(self.pattern).groups < 1:
            raise ValueError("pattern needs a group, e.g. 'The answer is (.*)'")
        return self


class FormatSpec(Section):
    """1 if the raw response has the demanded form, else 0."""

    kind: Literal["format"] = "format"
    tags: tuple[TagName, ...] = Field(
        (), description="each exactly once, in this order, non-empty, nothing outside them"
    )
    pattern: str | None = Field(None, description="a regular expression that the whole response must match")

    _pattern = field_validator("pattern")(_compiles)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.tags) == (self.pattern is not None):
            raise ValueError("give either tags or pattern")
        if len(set(self.tags)) < len(self.tags):
            raise ValueError("tags names a tag twice, but each must occur once")
        return self


class LengthSpec(Section):
    """1 where the response's length is as wanted, falling to 0 away from it."""

    kind: Literal["length"] = "length"
    mode: Literal["absolute", "relative"] = Field(
        description="absolute: 1 within [min, max]; relative: exp(-|ln(length / reference length)|)"
    )
    unit: Literal["chars", "words", "tokens"] = Field(description="tokens: as the encoder counts them")
    min: int | None = Field(None, ge=1)
    max: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        bounded = self.min is not None or self.max is not None
        if self.mode == "absolute" and not bounded:
            raise ValueError("mode: absolute needs min, max or both")
        if self.mode == "relative" and bounded:
            raise ValueError("min and max belong to mode: absolute")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min}) is greater than max ({self.max})")
        return self


class RepetitionSpec(Section):
    """The share of the response's word n-grams that repeat an earlier one: a fault, so weigh it negatively."""

    kind: Literal["repetition"] = "repetition"
    ngram: int = Field(3, ge=1, le=16)


class PromptCopySpec(Section):
    """The share of the response's word n-grams that stand in the prompt: a fault, so weigh it negatively."""

    kind: Literal["prompt_copy"] = "prompt_copy"
    ngram: int = Field(3, ge=1, le=16)


class BleuSpec(Section):
    """Sentence BLEU against all references (sacrebleu, exponential smoothing), over 100."""

    kind: Literal["bleu"] = "bleu"
    lowercase: bool = False


class RougeSpec(Section):
    """ROUGE F-measure, the best over the references."""

    kind: Literal["rouge"] = "rouge"
    variant: Literal["rouge1", "rouge2", "rougeL"] = "rougeL"
    max_words: int = Field(512, ge=1, description="words read of each text; the time of rougeL is quadratic in them")


class BertScoreSpec(Section):
    """Greedy token matching with the encoder's own token states (F1), the best over the references."""

    kind: Literal["bertscore"] = "bertscore"
    baseline: float = Field(0.0, ge=0.0, lt=1.0, description="score of unrelated text; rescaled to 0")
    quantise: Grid | None = Field(None, description=_QUANTISE)


TermSpec = Annotated[
    SemanticSpec
    | ContrastSpec
    | ExactMatchSpec
    | CorrectnessSpec
    | FormatSpec
    | LengthSpec
    | RepetitionSpec
    | PromptCopySpec
    | BleuSpec
    | RougeSpec
    | BertScoreSpec,
    Field(discriminator="kind"),
]

PENALTIES = frozenset({"repetition", "prompt_copy"})
"""Kinds that measure a fault."""
NEEDS_ENCODER = frozenset({"semantic", "contrast", "bertscore"})
"""Kinds that cannot work without an encoder (``length`` does only for tokens)."""
