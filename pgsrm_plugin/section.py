"""The base of every section of a spec, and of other settings that YAML or a config fills."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

TagName = Annotated[str, Field(pattern=r"^[A-Za-z][\w-]*$")]
"""The name of a tag, without its brackets."""


class Section(BaseModel):
    """A frozen section; an unknown key is an error."""

    also_known_as: ClassVar[Mapping[str, str]] = {}
    """Keys that users of other libraries write, each with what to do here; a subclass has those of its bases too."""
    others_say: ClassVar[tuple[str, ...]] = ()
    """Other names of this kind, where it is one; upper case and hyphens are as lower case and underscores."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


def summary(section: type[BaseModel]) -> str:
    """What a section is for: the first line of its docstring."""
    return inspect.cleandoc(section.__doc__ or "").partition("\n")[0]


def beside_spec(path: object, info: ValidationInfo) -> object:
    """Resolves a relative path against the spec file's folder."""
    folder = (info.context or {}).get("folder")
    if isinstance(path, str) and folder is not None and not Path(path).expanduser().is_absolute():
        return str(Path(folder) / path)
    return str(Path(path).expanduser()) if isinstance(path, str) else path


def problem_at(path: tuple[str, ...], message: str) -> PydanticCustomError:
    """A validation error about something below the section that found it, so that the message can name its line."""
    return PydanticCustomError("problem_at", "{message}", {"path": path, "message": message})
