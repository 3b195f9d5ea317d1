"""verl's rows as samples to score: where references and the correct answer stand, and what to say when they do not.

References are the first of these that a row has:

1. the column that ``pgsrm.reference_field`` names (e.g. ``extra_info.answer``);
2. ``reward_model.references`` or ``reward_model.reference``;
3. ``extra_info.references`` or ``extra_info.reference``;
4. the entry of its prompt in the file ``pgsrm.references``;
5. the online parent's, where ``pgsrm.parent`` is set;
6. without it ``reward_model.ground_truth``, as verl's stock data sets have it.

The correct answer is the column that ``pgsrm.ground_truth_field`` names, else ``reward_model.ground_truth``. Under the
convention ``semantic`` a ground truth that serves as the reference (6) is the expert's explanation, and the correct
answer is then ``extra_info.answer``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pgsrm_plugin.data.rows import parse_row, read_records
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.text.clean import prompt_text
from pgsrm_plugin.types import Prompt, RewardSample
from pgsrm_verl.settings import Settings

Convention = Literal["pgsrm", "semantic"]


@dataclass(frozen=True)
class RowReader:
    """Turns verl's rows into samples by the rules above.

    Attributes:
        references: by the prompt's text; see :func:`read_references`.
        online: an online parent will be asked for the references of samples that have none.
    """

    convention: Convention = "pgsrm"
    reference_field: str | None = None
    ground_truth_field: str | None = None
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    online: bool = False

    @classmethod
    def from_settings(cls, settings: Settings, convention: Convention = "pgsrm") -> RowReader:
        """The reader that a config asks for.

        Raises:
            DataError: the file of references cannot be read, or one of its rows has none.
        """
        references = read_references(settings.references) if settings.references else {}
        online = settings.parent is not None
        return cls(convention, settings.reference_field, settings.ground_truth_field, references, online)

    def sample(self, row: Mapping[str, Any], prompt: Any, response: str, label: str = "row") -> RewardSample:
        """The sample of one response.

        Args:
            row: the columns ``reward_model``, ``extra_info`` and ``data_source``, as far as there are any.
            prompt: chat messages or text.
            label: how messages call the row.

        Raises:
            DataError: a column is of a wrong type. Missing references are for
                :func:`pgsrm_plugin.validate.check_samples` to refuse, which knows what the spec's terms need.
        """
        reward_model, extra_info = _section(row, "reward_model", label), _section(row, "extra_info", label)
        known = {"prompt": prompt, "data_source": row.get("data_source")}
        explicit = {
            **known,
            "reference": _at(row, self.reference_field, label),
            "ground_truth": _at(row, self.ground_truth_field, label),
            "reward_model": {name: value for name, value in reward_model.items() if name != "ground_truth"},
            "extra_info": extra_info,
        }
        record = parse_row(explicit, label, responses=False)[0]
        references = record.references or self.references.get(prompt_key(record.prompt), ())
        truth = record.ground_truth
        if references and truth is not None:
            return RewardSample(record.prompt, response, references, truth, data_source=record.data_source)
        stock = parse_row({**known, "reward_model": reward_model}, label, responses=False)[0].ground_truth
        if truth is None and not references and self.convention == "semantic":
            answer = {**known, "ground_truth": extra_info.get("answer")}
            truth = parse_row(answer, label, responses=False)[0].ground_truth
        elif truth is None:
            truth = stock
        if not references and stock is not None and not self.online:
            references = (stock,)
        return RewardSample(record.prompt, response, references, truth, data_source=record.data_source)


def read_references(path: str | Path) -> dict[str, tuple[str, ...]]:
    """The references by prompt text in a .jsonl or .parquet file; several rows of one prompt are put together.

    Raises:
        DataError: the file cannot be read, or a row has no reference; the message names the row.
    """
    found: dict[str, tuple[str, ...]] = {}
    for record in read_records(path, responses=False):
        if not record.references:
            raise DataError(f"{record.label}: field 'reference' is missing, and this is pgsrm.references")
        key = prompt_key(record.prompt)
        found[key] = tuple(dict.fromkeys((*found.get(key, ()), *record.references)))
    return found


def prompt_key(prompt: Prompt) -> str:
    """What identifies a prompt between a data file and a rollout."""
    return prompt_text(prompt)


def _section(row: Mapping[str, Any], name: str, label: str) -> Mapping[str, Any]:
    section = row.get(name)
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise DataError(f"{label}: column {name!r} must be an object, not {type(section).__name__}")
    return section


def _at(row: Mapping[str, Any], path: str | None, label: str) -> Any:
    """The value at a dotted path.

    Raises:
        DataError: the row has no such column.
    """
    value: Any = row
    for part in path.split(".") if path else ():
        if not isinstance(value, Mapping) or value.get(part) is None:
            raise DataError(f"{label}: there is no {path!r}, which pgsrm's settings name")
        value = value[part]
    return value if path else None
