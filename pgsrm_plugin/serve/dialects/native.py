"""Our own: rows as ``pgsrm score`` reads them, and the names that other stacks give to columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pgsrm_plugin.data.files import json_type
from pgsrm_plugin.errors import DataError, did_you_mean
from pgsrm_plugin.scorer.base import Numbers
from pgsrm_plugin.serve.dialects.base import Dialect

_KEYS = ("rows", "columns")
_FIELDS = ("reference", "ground_truth")


class Native(Dialect):
    """``{"rows": [{"prompt", "response", "references", ...}]}``, answered by ``{"rows": [{"reward": 0.8, ...}]}``.

    A masked row's ``reward`` is null, and its ``reward/scored`` 0. ``columns`` may name where references and ground
    truth stand.
    """

    path: ClassVar = "/v1/score"

    def rows(self, document: Mapping[str, Any]) -> list[Any]:
        """See :class:`Dialect`."""
        for key in document:
            if key not in _KEYS:
                raise DataError(f"the question has no use for {key!r}{did_you_mean(key, _KEYS)}")
        rows = document.get("rows")
        if not isinstance(rows, list):
            raise DataError("the question must be an object with 'rows', a list of objects")
        return rows

    def fields(self, document: Mapping[str, Any]) -> Mapping[str, str]:
        """See :class:`Dialect`."""
        fields = document.get("columns", {})
        if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
            raise DataError(f"field 'columns' must be an object of texts, not {json_type(fields)}")
        for name in fields:
            if name not in _FIELDS:
                raise DataError(f"field 'columns': there is no {name!r}{did_you_mean(name, _FIELDS)}")
        return fields

    def answer(self, numbers: Sequence[Numbers], query: Mapping[str, str]) -> Any:
        """See :class:`Dialect`."""
        return {"rows": numbers}
