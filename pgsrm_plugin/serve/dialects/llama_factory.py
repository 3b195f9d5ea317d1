"""LLaMA-Factory's PPO with ``reward_model_type: api``: joined texts, whose references are found by their prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.scorer.base import Numbers
from pgsrm_plugin.serve.dialects.base import Dialect, list_of, one_by_one, text_in
from pgsrm_plugin.serve.prompt_index import PromptIndex


class LlamaFactory(Dialect):
    """``{"model", "messages": [prompt and response in one text]}``, answered by ``{"scores": [0.8], ...}``.

    Args:
        index: the prompts with their references; None: the service was given none, and each question is refused.
    """

    path: ClassVar = "/v1/score/evaluation"
    use: ClassVar = one_by_one("LLaMA-Factory")

    def __init__(self, index: PromptIndex | None) -> None:
        self._index = index

    def rows(self, document: Mapping[str, Any]) -> list[Any]:
        """See :class:`Dialect`."""
        if self._index is None:
            raise DataError(
                "texts of this route bring no references; start the service with --references FILE and "
                "--chat-template NAME or FOLDER"
            )
        texts = list_of(document, "messages")
        return [self._index.row(text_in(texts, i, "messages"), self.label(i)) for i in range(len(texts))]

    def answer(self, numbers: Sequence[Numbers], query: Mapping[str, str]) -> Any:
        """See :class:`Dialect`."""
        scores = [row["reward"] for row in numbers]
        return {"id": "pgsrm", "object": "score.evaluation", "model": "pgsrm", "scores": scores}

    def label(self, i: int) -> str:
        """See :class:`Dialect`."""
        return f"messages[{i}]"
