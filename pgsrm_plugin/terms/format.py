"""Format: the raw response has the demanded form."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgsrm_plugin.spec.terms import FormatSpec
from pgsrm_plugin.types import Embedder, PreparedRow


class Format:
    """1 if the response is the tags, each once, in order, non-empty, nothing outside; or matches the pattern.

    Tags are looked for in the response without its thinking and, if that does not fit, in the whole of it, so that both
    ``[answer]`` and ``[think, answer]`` can be demanded of a thinking model. The pattern must match the whole response.
    """

    bounds = (0.0, 1.0)
    penalty = False

    def __init__(self, spec: FormatSpec) -> None:
        self._tags = [tag.lower() for tag in spec.tags]
        self._pattern = re.compile(spec.pattern, re.DOTALL) if spec.pattern is not None else None

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """0 or 1 a row."""
        return [float(self._fits(row)) for row in rows]

    def _fits(self, row: PreparedRow) -> bool:
        if self._pattern is not None:
            return self._pattern.fullmatch(row.raw_response.strip()) is not None
        return self._is_tags(row.visible_response) or self._is_tags(row.raw_response)

    def _is_tags(self, text: str) -> bool:
        text = text.strip().lower()
        position = 0
        for tag in self._tags:
            opening, closing = f"<{tag}>", f"</{tag}>"
            if text.count(opening) != 1 or text.count(closing) != 1 or not text.startswith(opening, position):
                return False
            end = text.find(closing, position)
            if end < 0 or not text[position + len(opening) : end].strip():
                return False
            position = end + len(closing)
            position += len(text[position:]) - len(text[position:].lstrip())
        return position == len(text)
