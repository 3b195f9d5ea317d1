"""On which rows a term counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from pgsrm_plugin.data.layouts import value_text
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.section import Section

_Scalar = str | bool | int | float


def _as_texts(given: Any) -> Any:
    values = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    try:
        return tuple(value_text(value, "equals") for value in values)
    except DataError as error:
        raise ValueError(str(error)) from None


class When(Section):
    """A switch: the term counts on rows whose column has one of some values.

    Values are compared as texts: 3 is "3" and 3.0, true is "true".
    """

    also_known_as: ClassVar = {"field": "write `column`", "in": "write `equals`, which may be a list"}
    column: str = Field(min_length=1, description="a column of the rows, or a dotted path: extra_info.kind")
    equals: Annotated[tuple[str, ...], BeforeValidator(_as_texts, json_schema_input_type=_Scalar | list[_Scalar])] = (
        Field(min_length=1, description="the value with which the term counts, or a list of such values")
    )

    def holds(self, columns: Mapping[str, str]) -> bool:
        """Whether a row is one of them; ``columns`` has its values as texts."""
        return columns[self.column] in self.equals
