"""What a dialect is: a document read as rows, and numbers written as the stack wants them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pgsrm_plugin.crosscheck import Use
from pgsrm_plugin.data.files import json_type
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.scorer.base import Numbers

_ELSEWHERE = "ask POST /v1/score"


class Dialect(ABC):
    """How one stack asks for rewards.

    Attributes:
        path: where it asks.
        use: what it cannot do with rewards; such specs are refused.
    """

    path: ClassVar[str]
    use: ClassVar[Use] = Use()

    @abstractmethod
    def rows(self, document: Mapping[str, Any]) -> list[Any]:
        """The rows that a question asks for.

        Raises:
            DataError: it is no question of this stack.
        """

    def fields(self, document: Mapping[str, Any]) -> Mapping[str, str]:
        """Columns that the question itself names, ``reference`` and ``ground_truth``; see
        :class:`~pgsrm_plugin.data.rows.Columns`."""
        return {}

    @abstractmethod
    def answer(self, numbers: Sequence[Numbers], query: Mapping[str, str]) -> Any:
        """The document of the answer.

        Args:
            query: of the address.
        """

    def label(self, i: int) -> str:
        """How a row is called in messages."""
        return f"rows[{i}]"


def one_by_one(who: str) -> Use:
    """What a stack cannot do that asks for single rows and has no word for a row without a reward."""
    return Use(one_by_one=_ELSEWHERE, cannot_mask=(who, _ELSEWHERE), without_tokens=_ELSEWHERE)


def list_of(document: Mapping[str, Any], name: str, length: int | None = None) -> list[Any]:
    """A field that is a list, or one value instead of a list of one.

    Raises:
        DataError: it is missing, or of another length.
    """
    if name not in document:
        raise DataError(f"field {name!r} is missing (the question has: {', '.join(map(str, document)) or 'nothing'})")
    value = document[name]
    found = value if isinstance(value, list) else [value]
    if length is not None and len(found) != length:
        raise DataError(f"field {name!r} has {len(found)} entries, for {length} responses")
    return found


def text_in(values: Sequence[Any], i: int, name: str) -> str:
    """A text in a list.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(values[i], str):
        raise DataError(f"field {name!r}: number {i + 1} must be text, not {json_type(values[i])}")
    text: str = values[i]
    return text
