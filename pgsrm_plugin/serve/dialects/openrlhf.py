"""OpenRLHF's remote reward models, of all its versions; align-anything and lmm-r1 ask in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pgsrm_plugin.data.completions import after_prompt
from pgsrm_plugin.data.rows import labelled
from pgsrm_plugin.scorer.base import Numbers
from pgsrm_plugin.scorer.row_numbers import logged
from pgsrm_plugin.serve.dialects.base import Dialect, list_of, one_by_one, text_in


class OpenRlhf(Dialect):
    """``{"query": [prompt + response], "prompts": [...], "labels": [...]}``, with special tokens.

    Versions up to 0.11.0 send empty lists to all but one of several addresses, those up to 0.9 several rows at once.
    """

    path: ClassVar = "/get_reward"
    use: ClassVar = one_by_one("OpenRLHF")

    def rows(self, document: Mapping[str, Any]) -> list[Any]:
        """See :class:`Dialect`."""
        queries = list_of(document, "query")
        prompts, labels = (list_of(document, name, len(queries)) for name in ("prompts", "labels"))
        rows = []
        for i, label in enumerate(labels):
            prompt, text = text_in(prompts, i, "prompts"), text_in(queries, i, "query")
            with labelled(self.label(i)):
                response = after_prompt(text, prompt)
            rows.append({"prompt": prompt, "response": response, "label": label})
        return rows

    def answer(self, numbers: Sequence[Numbers], query: Mapping[str, str]) -> Any:
        """See :class:`Dialect`."""
        rewards = [row["reward"] for row in numbers]
        logs = [logged(row) for row in numbers]
        columns = {name: [log[name] for log in logs] for name in (logs[0] if logs else {})}
        return {"rewards": rewards, "scores": rewards, "extra_logs": columns}

    def label(self, i: int) -> str:
        """See :class:`Dialect`."""
        return f"query[{i}]"
