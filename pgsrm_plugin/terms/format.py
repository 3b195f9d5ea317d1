"""Format: the raw response has the demanded form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pgsrm_plugin.section import TagName
from pgsrm_plugin.terms.base import Pattern, Term
from pgsrm_plugin.text.patterns import matches_whole

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder, Row


class Format(Term):
    """1 if the raw response has the demanded form, else 0.

    The form is the tags, each once, in order, non-empty, nothing outside; or the pattern, which must match the whole
    response. Tags are looked for in the response without its thinking and, if that does not fit, in the whole of it, so
    that both ``[answer]`` and ``[think, answer]`` can be demanded of a thinking model.
    """

    kind: Literal["format"] = "format"
    others_say: ClassVar = ("tags", "tag", "xml")
    tags: tuple[TagName, ...] = Field(
        (), description="each exactly once, in this order, non-empty, nothing outside them"
    )
    pattern: Pattern = Field(None, description="a regular expression that the whole response must match")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.tags) == (self.pattern is not None):
            raise ValueError("give either tags or pattern")
        if len(set(self.tags)) < len(self.tags):
            raise ValueError("tags names a tag twice, but each must occur once")
        return self

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float]:
        """0 or 1 a row."""
        return [float(self._fits(row)) for row in rows]

    def _fits(self, row: Row) -> bool:
        if self.pattern is not None:
            return matches_whole(self.pattern, row.raw.strip())
        return self._is_tags(row.visible) or self._is_tags(row.raw)

    def _is_tags(self, text: str) -> bool:
        text = text.strip().lower()
        position = 0
        for tag in map(str.lower, self.tags):
            opening, closing = f"<{tag}>", f"</{tag}>"
            if text.count(opening) != 1 or text.count(closing) != 1 or not text.startswith(opening, position):
                return False
            end = text.find(closing, position)
            if end < 0 or not text[position + len(opening) : end].strip():
                return False
            position = end + len(closing)
            position += len(text[position:]) - len(text[position:].lstrip())
        return position == len(text)
