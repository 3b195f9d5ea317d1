"""slime's ``remote_rm``, and that of miles and Relax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pgsrm_plugin.errors import DataError
from pgsrm_plugin.scorer.base import Numbers
from pgsrm_plugin.scorer.row_numbers import logged
from pgsrm_plugin.serve.dialects.base import Dialect, one_by_one


class Slime(Dialect):
    """``{"prompt", "response", "label"}``, answered by ``{"score": 0.8, ...}`` for ``--reward-key score``.

    With ``?plain=1`` the answer is the bare number.
    """

    path: ClassVar = "/slime"
    use: ClassVar = one_by_one("slime")

    def rows(self, document: Mapping[str, Any]) -> list[Any]:
        """See :class:`Dialect`."""
        for name in ("prompt", "response", "label"):
            if name not in document:
                raise DataError(f"field {name!r} is missing (the question has: {', '.join(document) or 'nothing'})")
        return [{name: document[name] for name in ("prompt", "response", "label")}]

    def answer(self, numbers: Sequence[Numbers], query: Mapping[str, str]) -> Any:
        """See :class:`Dialect`."""
        (row,) = numbers
        plain = query.get("plain", "0") not in ("0", "false", "")
        return row["reward"] if plain else {"score": row["reward"], **logged(row)}

    def label(self, i: int) -> str:
        """See :class:`Dialect`."""
        return "the sample"
