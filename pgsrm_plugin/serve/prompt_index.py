"""References by prompt, for stacks that send prompt and response in one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pgsrm_plugin.data.completions import drop_special_tokens
from pgsrm_plugin.data.layouts import STOCK
from pgsrm_plugin.data.rows import Columns, Record, labelled, read_records
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.serve.chat_templates import Render
from pgsrm_plugin.types import ground_truths

_EXCERPT = 80


class PromptIndex:
    """Finds the prompt that a text begins with.

    Texts are compared without special tokens and leading white space, since stacks pad them, and tokenizers begin them
    with a token of their own. Where several prompts are the beginning of a text, the longest one is meant.

    Args:
        records: prompts with their references; those of one prompt are put together.
        render: makes of a prompt the text that the policy was given.
        special_tokens: what is left out.

    Raises:
        DataError: a prompt cannot be rendered, or has neither references nor a ground truth.
    """

    def __init__(self, records: Sequence[Record], render: Render, special_tokens: Sequence[str]) -> None:
        self._special_tokens = tuple(special_tokens)
        self._rows: dict[str, dict[str, Any]] = {}
        self._read = {*STOCK.columns, "prompt", "response", "responses", "group"}
        for record in records:
            with labelled(record.label):
                self._add(record, self._bare(render(record.prompt)))
        self._lengths = sorted({len(prompt) for prompt in self._rows}, reverse=True)

    @classmethod
    def from_file(
        cls, path: str | Path, render: Render, special_tokens: Sequence[str], columns: Columns | None = None
    ) -> PromptIndex:
        """The prompts of a .jsonl or .parquet file.

        Raises:
            DataError: it cannot be read, or a row is wrong.
        """
        return cls(read_records(path, responses=False, columns=columns or Columns(usual=STOCK)), render, special_tokens)

    def row(self, text: str, label: str) -> Mapping[str, Any]:
        """The row of a text: its prompt, what follows it, and the references.

        Raises:
            DataError: the text begins with none of the prompts.
        """
        bare = self._bare(text)
        for length in self._lengths:
            if (found := self._rows.get(bare[:length])) is not None and length <= len(bare):
                return {**found, "response": bare[length:]}
        raise DataError(
            f"{label}: {bare[:_EXCERPT]!r} begins with none of the {len(self._rows)} prompts of --references; is "
            "--chat-template the policy's?"
        )

    def _bare(self, text: str) -> str:
        return drop_special_tokens(text, self._special_tokens).lstrip()

    def _add(self, record: Record, text: str) -> None:
        truths = list(ground_truths(record.ground_truth))
        if not (record.references or truths):
            raise DataError("field 'reference' is missing, and this is --references")
        others = {name: value for name, value in record.row.items() if name not in self._read}
        own = {**others, "prompt": record.prompt, "references": [], "ground_truth": []}
        known = self._rows.setdefault(text, own)
        for name, values in (("references", record.references), ("ground_truth", truths)):
            known[name] = list(dict.fromkeys([*known[name], *values]))
