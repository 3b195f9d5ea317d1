"""Length, absolute or relative to the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.terms.base import Needs, Term
from pgsrm_plugin.text.words import count_words

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class Length(Term):
    r"""1 where the response's length is as wanted, falling to 0 away from it.

    With length :math:`n`, absolute: 1 within [min, max], :math:`n/\min` below, :math:`\max(0, 2 - n/\max)` above.
    Relative to a reference of length :math:`m`: :math:`e^{-|\ln(n/m)|} = \min(n/m, m/n)`, the best over the references
    (Semantic GRPO's code). Characters and words are counted before ``text.max_chars`` cuts, tokens
    after it. A word stands between white space; of scripts without spaces (Chinese, Thai ...) each character is one.
    """

    kind: Literal["length"] = "length"
    others_say: ClassVar = ("len", "overlong", "brevity", "length_penalty")
    mode: Literal["absolute", "relative"] = Field(
        description="absolute: 1 within [min, max]; relative: exp(-|ln(length / reference length)|)"
    )
    unit: Literal["chars", "words", "tokens"] = Field(description="tokens: as the encoder counts them")
    min: int | None = Field(None, ge=1)
    max: int | None = Field(None, ge=1)

    remedy: ClassVar = "use unit: words"

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

    def needs(self) -> Needs:
        """References where it is relative, the encoder where it counts tokens."""
        return Needs(references=self.mode == "relative", tokens=self.unit == "tokens")

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """Values in [0, 1]."""
        in_tokens = self.unit == "tokens"
        responses = [row.response.text if in_tokens else row.response.uncut for row in rows]
        lengths = self._measure(responses, encoder)
        if self.mode == "absolute":
            return [self._absolute(length) for length in lengths]
        targets = [self._measure(row.targets, encoder) for row in rows]
        return [max(_ratio(length, n) for n in target) for length, target in zip(lengths, targets, strict=True)]

    def _measure(self, texts: Sequence[str], encoder: Embedder) -> list[int]:
        if self.unit == "tokens":
            return encoder.token_counts(texts)
        return [count_words(text) if self.unit == "words" else len(text) for text in texts]

    def _absolute(self, length: int) -> float:
        if self.min is not None and length < self.min:
            return length / self.min
        if self.max is not None and length > self.max:
            return max(0.0, 2.0 - length / self.max)
        return 1.0


def _ratio(length: int, reference: int) -> float:
    return min(length, reference) / max(length, reference) if length and reference else 0.0
