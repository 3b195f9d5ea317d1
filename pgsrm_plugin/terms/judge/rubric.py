"""What a judge looks for: the criteria of a rubric, and where the rubric of a prompt comes from."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from typing_extensions import Self

from pgsrm_plugin.asking.answer_extraction import spoken
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.section import Section
from pgsrm_plugin.text.clean import normalise_space
from pgsrm_plugin.text.picks import json_objects

_MOST = 200


class Criterion(Section):
    """One question of a rubric, to be answered with yes or no, or with a grade from 1 to 5."""

    text: str = Field(min_length=1, description="as a statement about a good answer: 'It names the capital.'")
    weight: float = Field(1.0, ge=0, description="beside the other criteria")
    gate: bool = Field(False, description="without it an answer is worth nothing")
    graded: bool = Field(False, description="grades 1 to 5 instead of yes and no")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.text.strip():
            raise ValueError("text: it is empty")
        if self.gate and self.graded:
            raise ValueError("a gate is passed or not: leave graded out")
        return self


def _from_text(item: Any) -> Any:
    return {"text": item} if isinstance(item, str) else item


Rubric = Annotated[tuple[Annotated[Criterion, BeforeValidator(_from_text)], ...], Field(min_length=1, max_length=_MOST)]
"""Criteria; one may be a text alone."""
_RUBRIC: TypeAdapter[tuple[Criterion, ...]] = TypeAdapter(Rubric)


def weighted(rubric: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
    """The rubric, if its weights are not all 0.

    Raises:
        ValueError: they are.
    """
    if not any(one.weight > 0 for one in rubric):
        raise ValueError("the weights of all criteria are 0, so every answer would be worth the same")
    return rubric


def parse_rubric(text: str, where: str) -> tuple[Criterion, ...]:
    """The rubric that a column or a parent's answer holds: a JSON list of criteria, or a criterion a line.

    Args:
        where: how messages call it.

    Raises:
        DataError: it is none.
    """
    stripped = text.strip()
    try:
        items: Any = json.loads(stripped)
    except (ValueError, RecursionError):
        items = [line.strip(" \t-*\u2022") for line in stripped.splitlines()]
        items = [line for line in items if line]
    if isinstance(items, Mapping):
        items = items.get("criteria", items.get("rubric", [items]))
    items = [items] if isinstance(items, str) else items
    try:
        return weighted(_RUBRIC.validate_python(items))
    except (ValidationError, ValueError) as error:
        first = error.errors(include_input=False)[0] if isinstance(error, ValidationError) else None
        said = str(error) if first is None else f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
        raise DataError(
            f"{where} is no rubric: {said}; write a list of texts, or of {{text, weight, gate, graded}}"
        ) from None


def prompt_key(prompt: str) -> str:
    """By what a prompt's rubric is found: SHA-256 (hex) of its text, white space and Unicode forms aside."""
    return hashlib.sha256(normalise_space(unicodedata.normalize("NFKC", prompt)).encode()).hexdigest()


def rubric_in(answer: str) -> tuple[Criterion, ...] | None:
    """The rubric that a parent wrote: the last JSON object with ``criteria``; None where there is none.

    >>> rubric_in('Here: {"criteria": [{"text": "It names the river.", "weight": 2}]}')[0].weight, rubric_in("Good.")
    (2.0, None)
    """
    found = [one["criteria"] for one in json_objects(spoken(answer)) if "criteria" in one]
    try:
        return weighted(_RUBRIC.validate_python(found[-1])) if found else None
    except ValueError:
        return None


def rubrics_of(folder: Path) -> dict[str, tuple[Criterion, ...]]:
    """The rubrics of a store that ``pgsrm parent rubrics`` wrote, by :func:`prompt_key`; of several, the last.

    Raises:
        DataError: the store has none.
        StoreError: it is no store.
    """
    from pgsrm_plugin.asking.store.store import ParentStore

    with ParentStore.open(folder, writable=False) as store:
        written = [answer for answer in store.answers() if answer.item.startswith(ITEM)]
    found = {answer.item.removeprefix(ITEM): rubric_in(answer.reference or "") for answer in written}
    rubrics = {key: rubric for key, rubric in found.items() if rubric is not None}
    if not rubrics:
        raise DataError(f"{folder} has no rubrics; write them with `pgsrm parent rubrics`")
    return rubrics


ITEM = "rubric:"
"""Before the key of the prompt, in the answers that are rubrics."""


def shown(rubric: Iterable[Criterion]) -> str:
    """The criteria as a numbered list."""
    return "\n".join(f"{number}. {one.text.strip()}" for number, one in enumerate(rubric, 1))
