"""verl's data files, looked through before training: each row must have what the reward compares with."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.errors import DataError, SpecError
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.validate import check_samples, compares_references
from pgsrm_verl.rows import RowReader, prompt_key

logger = logging.getLogger(__name__)
_STAND_IN = "x"
WHERE_REFERENCES_STAND = (
    "a row's references stand in reward_model.references, extra_info.references, reward_model.ground_truth, the column "
    "that pgsrm.reference_field names, or under its prompt in the file pgsrm.references"
)


def check_data(
    config: Mapping[str, Any], reader: RowReader, spec: RewardSpec, val_spec: RewardSpec | None = None
) -> frozenset[str]:
    """Checks every row of the files that a config of verl's trains and validates with.

    Args:
        val_spec: the reward of the validation files, where it is another one.

    Returns:
        With a ``val_spec``, the keys (:func:`~pgsrm_verl.rows.prompt_key`) of the prompts it is for; else none.

    Raises:
        DataError: a row lacks something that its reward compares with; the message names file and row.
        SpecError: with a ``val_spec``: a prompt stands in training and validation files, or a file cannot be read.
    """
    data = config["data"]
    prompt_column = data.get("prompt_key") or "prompt"
    train, val = paths(data.get("train_files")), paths(data.get("val_files"))
    train_keys = _check_files(train, prompt_column, reader, spec)
    val_keys = _check_files(val, prompt_column, reader, val_spec or spec)
    if val_spec is None:
        return frozenset()
    unread = [path for path in (*train, *val) if not _is_readable(path)]
    if unread:
        raise SpecError(f"pgsrm.val_spec needs to know the validation prompts, and {unread[0]} cannot be read here")
    for key in val_keys:
        if key in train_keys:
            raise SpecError(
                f"pgsrm.val_spec: {val_keys[key]} has the same prompt as {train_keys[key]}, so its reward is unclear; "
                "take it out of one of the files, or leave out pgsrm.val_spec"
            )
    return frozenset(val_keys)


def paths(files: str | Sequence[str] | None) -> list[str]:
    """``data.train_files`` or ``data.val_files`` as a list."""
    return [files] if isinstance(files, str) else [str(path) for path in files or ()]


def read_data(path: str, columns: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a .parquet or .jsonl file with their labels; of a .parquet file only the columns asked for."""
    if not path.endswith(".parquet"):
        yield from read_rows(path)
        return
    number = 0
    with pq.ParquetFile(path) as file:
        present = [name for name in file.schema_arrow.names if name in columns]
        for batch in file.iter_batches(columns=present):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}: row {number}", row


def _is_readable(path: str) -> bool:
    return Path(path).is_file() and Path(path).suffix in (".parquet", ".jsonl")


def _check_files(files: Sequence[str], prompt_column: str, reader: RowReader, spec: RewardSpec) -> dict[str, str]:
    """The label of a row of each prompt, by prompt."""
    columns = {prompt_column, "data_source"} | reader.layout.columns
    labels: dict[str, str] = {}
    asked: set[str] = set()
    for path in files:
        if not _is_readable(path):
            logger.warning("%s is not checked for references: no .parquet or .jsonl file on this machine", path)
            continue
        for label, row in read_data(path, columns):
            if row.get(prompt_column) is None:
                raise DataError(f"{label}: field {prompt_column!r} is missing")
            # A rollout has groups of its own: no row needs to name one.
            sample = replace(reader.sample(row, row[prompt_column], _STAND_IN, label), group=label)
            if reader.online and not sample.references:
                asked.add(prompt_key(sample.prompt))
                sample = replace(sample, references=(_STAND_IN,))
            lacks_references = not sample.references and compares_references(spec)
            try:
                check_samples([sample], spec, label=lambda i, label=label: label)  # type: ignore[misc]
            except DataError as error:
                hint = f"; {WHERE_REFERENCES_STAND}" if lacks_references else ""
                raise DataError(f"{error}{hint}") from None
            labels.setdefault(prompt_key(sample.prompt), label)
    if asked:
        logger.warning(
            "%d prompts of %s have no references; pgsrm.parent is asked for them", len(asked), ", ".join(files)
        )
    return labels
