"""verl's data files, looked through before training: each row must have what the reward compares with."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm  # type: ignore[import-untyped]

from pgsrm_plugin.data.files import stream_rows
from pgsrm_plugin.data.layouts import Layout
from pgsrm_plugin.encoders.vocabulary import vocabulary_here
from pgsrm_plugin.errors import DataError, SpecError
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.validate import check_known, check_samples, compares_references
from pgsrm_verl.rows import RowReader, prompt_key

logger = logging.getLogger(__name__)
_STAND_IN = "x"
_BAR_AFTER_S = 3.0
WHERE_REFERENCES_STAND = (
    "a row's references stand in reward_model.references, extra_info.references, reward_model.ground_truth, the column "
    "that pgsrm.reference_field names, or under its prompt in the file pgsrm.references"
)
Wanted = Mapping[str, frozenset[str] | None]
"""The columns to read, and of objects which keys; None: all of it."""


@dataclass(frozen=True)
class Seen:
    """What the data files showed, by :func:`~pgsrm_verl.rows.prompt_key`.

    Attributes:
        validation: the prompts that a reward of its own for validation is for; empty without one.
        known: all prompts, where a rollout's must be recognised; None where that is not needed or cannot be known.
    """

    validation: frozenset[str] = frozenset()
    known: frozenset[str] | None = None

    def as_text(self) -> str:
        """One text, for a config."""
        return json.dumps({"validation": sorted(self.validation), "known": self.known and sorted(self.known)})

    @classmethod
    def from_text(cls, text: str) -> Seen:
        """The reverse of :meth:`as_text`."""
        found = json.loads(text)
        known = found["known"]
        return cls(frozenset(found["validation"]), None if known is None else frozenset(known))


def check_data(
    config: Mapping[str, Any], reader: RowReader, spec: RewardSpec, val_spec: RewardSpec | None = None
) -> frozenset[str]:
    """The validation prompts of :func:`look_through`."""
    return look_through(config, reader, spec, val_spec).validation


def look_through(
    config: Mapping[str, Any], reader: RowReader, spec: RewardSpec, val_spec: RewardSpec | None = None
) -> Seen:
    """Checks every row of the files that a config of verl's trains and validates with; of equal rows the first one.

    Args:
        val_spec: the reward of the validation files, where it is another one.

    Raises:
        DataError: a row lacks something that its reward compares with; the message names file and row.
        SpecError: with a ``val_spec``, or a spec whose shape is for training only: a prompt stands in training and
            validation files, or a file cannot be read.
    """
    data, why = config["data"], "pgsrm.val_spec"
    if val_spec is None and spec.shape is not None:
        val_spec, why = spec.alone(), "shape, which validation does without,"
    prompt_column = data.get("prompt_key") or "prompt"
    train, val = paths(data.get("train_files")), paths(data.get("val_files"))
    train_keys = _check_files(train, prompt_column, reader, spec)
    val_keys = _check_files(val, prompt_column, reader, val_spec or spec)
    unread = [path for path in (*train, *val) if not _is_readable(path)]
    if val_spec is None:
        is_known = bool(reader.references) and not unread
        return Seen(known=frozenset({*train_keys, *val_keys}) if is_known else None)
    if unread:
        raise SpecError(f"{why} needs to know the validation prompts, and {unread[0]} cannot be read here")
    for key in val_keys:
        if key in train_keys:
            raise SpecError(
                f"{why.rstrip(',')}: {val_keys[key]} has the same prompt as {train_keys[key]}, so its reward is "
                f"unclear; "
                f"take it out of one of the files, or leave out {why.split(',')[0]}"
            )
    return Seen(frozenset(val_keys), frozenset({*train_keys, *val_keys}))


def paths(files: str | Sequence[str] | None) -> list[str]:
    """``data.train_files`` or ``data.val_files`` as a list."""
    return [files] if isinstance(files, str) else [str(path) for path in files or ()]


def read_data(path: str, wanted: Wanted) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a .parquet or .jsonl file with their labels, and of each only what is wanted."""
    if not path.endswith(".parquet"):
        for label, row in stream_rows(path):
            yield label, _only(row, wanted)
        return
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=_columns(file.schema_arrow, wanted)):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}: row {number}", row


def distinct(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The first of equal rows.

    >>> list(distinct([("row 1", {"a": 1}), ("row 2", {"a": 1}), ("row 3", {"a": 2})]))
    [('row 1', {'a': 1}), ('row 3', {'a': 2})]
    """
    seen: set[bytes] = set()
    for label, row in rows:
        digest = blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield label, row


def _wanted(prompt_column: str, layout: Layout, switches: Sequence[str] = ()) -> Wanted:
    """The prompt, the data source, what the layout reads, and what terms are switched by."""
    holders = [f"{name}.{key}" for name in layout.references if name for key in ("reference", "references")]
    fields = [path for path in (layout.reference_field, layout.ground_truth_field) if path]
    keys: dict[str, set[str]] = {}
    for path in (*switches, *holders, *fields, *layout.ground_truth, *layout.stand_in, *layout.answer):
        name, _, rest = path.partition(".")
        keys.setdefault(name, set()).add(rest.split(".")[0])
    some: dict[str, frozenset[str] | None] = {name: None if "" in of else frozenset(of) for name, of in keys.items()}
    return some | dict.fromkeys((prompt_column, "data_source"))


def _only(row: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    found = {}
    for name, keys in wanted.items():
        value = row.get(name)
        if keys is not None and isinstance(value, Mapping):
            value = {key: value[key] for key in sorted(keys) if key in value}
        found[name] = value
    return found


def _columns(schema: pa.Schema, wanted: Wanted) -> list[str]:
    """What is wanted of a parquet file, as the paths that its reader takes."""
    found = []
    for field in schema:
        if field.name not in wanted:
            continue
        keys = wanted[field.name]
        if keys is None or not pa.types.is_struct(field.type):
            found.append(field.name)
        else:
            found += [f"{field.name}.{part.name}" for part in field.type if part.name in keys]
    return found


def _is_readable(path: str) -> bool:
    return Path(path).is_file() and Path(path).suffix in (".parquet", ".jsonl")


def _progress(path: str, rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterable[tuple[str, dict[str, Any]]]:
    """The rows, with a bar where they take long."""
    total = pq.read_metadata(path).num_rows if path.endswith(".parquet") else None
    name = f"pgsrm looks through {Path(path).name}"
    bar: Iterable[tuple[str, dict[str, Any]]] = tqdm(rows, name, total, unit=" rows", delay=_BAR_AFTER_S, mininterval=1)
    return bar


def _check_files(files: Sequence[str], prompt_column: str, reader: RowReader, spec: RewardSpec) -> dict[str, str]:
    """The label of a row of each prompt, by prompt."""
    reader = reader.for_specs([spec])
    wanted = _wanted(prompt_column, reader.layout, reader.switches)
    vocabulary = vocabulary_here(spec.encoder) if files and compares_references(spec) else None
    labels: dict[str, str] = {}
    asked: set[str] = set()
    missed: dict[str, str] = {}
    for path in files:
        if not _is_readable(path):
            logger.warning("%s is not checked for references: no .parquet or .jsonl file on this machine", path)
            continue
        for label, row in distinct(_progress(path, read_data(path, wanted))):
            if row.get(prompt_column) is None:
                raise DataError(f"{label}: field {prompt_column!r} is missing")
            # A rollout has groups of its own: no row needs to name one.
            sample = replace(reader.sample(row, row[prompt_column], _STAND_IN, label), group=label)
            key = prompt_key(sample.prompt)
            if reader.online and not sample.references:
                asked.add(key)
                sample = replace(sample, references=(_STAND_IN,))
            if reader.references and key not in reader.references:
                missed.setdefault(key, label)
            lacks_references = not sample.references and compares_references(spec)
            try:
                row_batch = check_samples([sample], spec, label=lambda i, label=label: label)  # type: ignore[misc]
                check_known(row_batch, vocabulary, "of the spec", lambda i, label=label: label)  # type: ignore[misc]
            except DataError as error:
                hint = f"; {WHERE_REFERENCES_STAND}" if lacks_references else ""
                raise DataError(f"{error}{hint}") from None
            labels.setdefault(key, label)
    if asked:
        logger.warning(
            "%d prompts of %s have no references; pgsrm.parent is asked for them", len(asked), ", ".join(files)
        )
    if missed and compares_references(spec):
        first = next(iter(missed.values()))
        logger.warning("%d prompts are not in pgsrm.references, the first of them %s", len(missed), first)
    return labels
