"""Format: the raw response has the demanded form."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgsrm_plugin.spec.terms import FormatSpec
from pgsrm_plugin.types import Embedder, PreparedRow


class Format:
    """1 if the raw response is the tags, each once, in order, non-empty, nothing outside; or matches the pattern."""

    bounds = (0.0, 1.0)
    penalty = False

    def __init__(self, spec: FormatSpec) -> None:
        self._tags = spec.tags
        self._pattern = re.compile(spec.pattern, re.DOTALL) if spec.pattern is not None else None

    def __call__(self, rows: Sequence[PreparedRow], embedder: Embedder) -> list[float]:
        """0 or 1 a row."""
        return [float(self._fits(row.raw_response.strip())) for row in rows]

    def _fits(self, text: str) -> bool:
        if self._pattern is not None:
            return self._pattern.fullmatch(text) is not None
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
