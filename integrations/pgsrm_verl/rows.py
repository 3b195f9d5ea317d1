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

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from pgsrm_plugin.data.files import plain
from pgsrm_plugin.data.layouts import SEMANTIC, VERL, Layout, read_targets
from pgsrm_plugin.data.rows import labelled, prompt_and_source, read_records
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.types import Prompt, RewardSample
from pgsrm_plugin.validate import judges_truth
from pgsrm_verl.settings import Settings

Convention = Literal["pgsrm", "semantic"]
_LAYOUTS: Mapping[Convention, Layout] = {"pgsrm": VERL, "semantic": SEMANTIC}
_MEDIA = re.compile("<(?:image|video|audio)>")
_OBJECTS = ("reward_model", "extra_info")


@dataclass(frozen=True)
class RowReader:
    """Turns verl's rows into samples by the rules above.

    Attributes:
        references: by the prompt's text; see :func:`read_references`.
        online: an online parent will be asked for the references of samples that have none.
        known: the keys of all prompts of the data files, where it matters that a prompt is recognised; else None.
        judged: whether any term looks at the ground truth; where none does, one that cannot be read is no error.
        switches: columns, as dotted paths, that the spec's terms are switched by.
    """

    convention: Convention = "pgsrm"
    reference_field: str | None = None
    ground_truth_field: str | None = None
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    online: bool = False
    known: frozenset[str] | None = None
    judged: bool = True
    switches: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings, convention: Convention = "pgsrm") -> RowReader:
        """The reader that a config asks for.

        Raises:
            DataError: the file of references cannot be read, or one of its rows has none.
        """
        references = read_references(settings.references) if settings.references else {}
        online = settings.parent is not None
        return cls(convention, settings.reference_field, settings.ground_truth_field, references, online)

    def for_specs(self, specs: Iterable[RewardSpec]) -> RowReader:
        """The reader of what any of the specs looks at."""
        specs = list(specs)
        switches = sorted({path for spec in specs for path in spec.columns})
        return replace(self, judged=any(map(judges_truth, specs)), switches=tuple(switches))

    @cached_property
    def layout(self) -> Layout:
        """Where the rows keep what a response is compared with."""
        layout = _LAYOUTS[self.convention]
        return replace(layout, reference_field=self.reference_field, ground_truth_field=self.ground_truth_field)

    def sample(self, row: Mapping[str, Any], prompt: Any, response: str, label: str = "row") -> RewardSample:
        """The sample of one response.

        Args:
            row: the columns ``reward_model``, ``extra_info``, ``data_source`` and the configured ones, if it has them.
            prompt: chat messages or text.
            label: how messages call the row.

        Raises:
            DataError: a column is of a wrong type, or the prompt is none of the known. Missing references are for
                :func:`pgsrm_plugin.validate.check_samples` to refuse, which knows what the spec's terms need.
        """
        with labelled(label):
            columns = plain({name: _column(row, name) for name in sorted(self.layout.columns)})
            asked, source = prompt_and_source(plain({"prompt": prompt, "data_source": row.get("data_source")}))
            key = prompt_key(asked) if self.references or self.known is not None else ""
            if self.known is not None and key not in self.known:
                raise DataError(_unknown(row))
            found = self.references.get(key, ())
            references, truth, _ = read_targets(columns, self.layout, found, self.online, self.judged)
            switches = plain({name: row[name] for name in self.switch_columns if name in row})
        return RewardSample(asked, response, references, truth, data_source=source, columns=switches)

    @property
    def switch_columns(self) -> list[str]:
        """The row's own columns in which the switches look."""
        return sorted({path.split(".")[0] for path in self.switches})


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
    """What identifies a prompt between a data file and a rollout: a digest of its words.

    verl's data set makes parts of a text with ``<image>``, ``<video>`` or ``<audio>``: so the text of a message is that
    of its parts together, and the marks are left out.
    """
    texts = [prompt] if isinstance(prompt, str) else [_message_text(message) for message in prompt]
    words = _MEDIA.sub("", "\n".join(texts))
    return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _message_text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))


def _unknown(row: Mapping[str, Any]) -> str:
    index = plain((row.get("extra_info") or {}).get("index"))
    return (
        f"the prompt of the row with data_source {plain(row.get('data_source'))!r} and extra_info.index {index!r} is, "
        "as verl hands it over, in none of data.train_files and data.val_files, so neither its entry in "
        "pgsrm.references nor whether pgsrm.val_spec is for it can be known; does a data set class of your own "
        "(data.custom_cls) change prompts?"
    )


def _column(row: Mapping[str, Any], name: str) -> Any:
    value = row.get(name)
    if name in _OBJECTS and not isinstance(value, Mapping | None):
        raise DataError(f"column {name!r} must be an object, not {type(value).__name__}")
    return value
