"""The forms in which references leave a store: verl's RL parquet, JSONL as the package reads it, Hugging Face."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pgsrm_plugin.asking.store.answers import as_messages
from pgsrm_plugin.data.files import check_output, write_rows
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.parents.export.selection import Reference
from pgsrm_plugin.parents.generation.prompts import PromptRow

DATA_SOURCE = "pgsrm/parent"
"""Of rows whose prompts name none."""
Sides: TypeAlias = "Mapping[str, Sequence[dict[str, Any]]]"
"""Rows by the name of their side; the name is "" where nothing was split."""


def verl_row(row: PromptRow, reference: Reference, number: int, side: str, weight: bool) -> dict[str, Any]:
    """A row of verl's RL parquet, with the row's other columns."""
    extra_info = {name: value for name, value in row.extra_info.items() if name not in ("reference", "references")}
    extra_info = {"index": number, **extra_info, **_measured(reference, weight)}
    extra_info |= {"split": side} if side else {}
    extra_info |= {"item": row.item} if row.item else {}
    made = {
        "data_source": row.data_source or DATA_SOURCE,
        "prompt": [{"role": turn["role"], "content": turn["content"]} for turn in as_messages(row.prompt)],
        "ability": row.ability,
        "reward_model": {
            "style": "rule",
            "ground_truth": reference.texts[0] if row.ground_truth is None else row.ground_truth,
            "references": list(reference.texts),
        },
        "extra_info": {**extra_info, "parent": dict(reference.parent)},
    }
    return {**row.columns, **made}


def record_row(row: PromptRow, reference: Reference, number: int, side: str, weight: bool) -> dict[str, Any]:
    """A row of :mod:`pgsrm_plugin.data.rows`, with the row's other columns."""
    made: dict[str, Any] = {"prompt": row.prompt, "references": list(reference.texts)}
    optional = {"ground_truth": row.ground_truth, "data_source": row.data_source, "item": row.item, "split": side}
    made |= {name: value for name, value in optional.items() if value}
    made |= {"extra_info": dict(row.extra_info)} if row.extra_info else {}
    made |= {**_measured(reference, weight), "parent": dict(reference.parent)}
    return {**row.columns, **made}


def _measured(reference: Reference, weight: bool) -> dict[str, float | int | None]:
    measured: dict[str, float | int | None] = {"samples": reference.samples}
    if reference.measured:
        measured["agreement"] = reference.agreement
    if weight:
        agreement = 1.0 if reference.agreement is None else reference.agreement
        measured["weight"] = min(1.0, max(0.0, agreement))
    return measured


def _write_files(sides: Sides, out: Path, extension: str) -> list[Path]:
    out = out.expanduser()
    if list(sides) == [""]:
        write_rows(out, sides[""])
        return [out]
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in sides.items():
        write_rows(out / f"{name}{extension}", rows)
    return [out / f"{name}{extension}" for name in sides]


def _write_hf(sides: Sides, out: Path) -> list[Path]:
    try:
        from datasets import Dataset, DatasetDict  # type: ignore[import-untyped]
    except ImportError:
        raise DataError("--format hf needs the package datasets: pip install datasets; or use --format jsonl") from None
    out = out.expanduser()
    if out.exists() and any(out.iterdir()):
        raise DataError(f"--out {out} is not empty; name a new folder")
    sets = {name: Dataset.from_list(rows) for name, rows in sides.items()}
    (sets[""] if list(sets) == [""] else DatasetDict(sets)).save_to_disk(str(out))
    return [out]


@dataclass(frozen=True)
class ExportFormat:
    """How rows look, where they go, and the extension of a file ("" for a folder)."""

    row: Callable[[PromptRow, Reference, int, str, bool], dict[str, Any]]
    write: Callable[[Sides, Path], list[Path]]
    extension: str


FORMATS = {
    "verl": ExportFormat(verl_row, lambda sides, out: _write_files(sides, out, ".parquet"), ".parquet"),
    "jsonl": ExportFormat(record_row, lambda sides, out: _write_files(sides, out, ".jsonl"), ".jsonl"),
    "hf": ExportFormat(record_row, _write_hf, ""),
}


def write(sides: Sides, out: Path, form: str) -> list[Path]:
    """Writes one file (or data set) where there is one side without a name, else a folder with one a side.

    Raises:
        DataError: the place cannot be written to, or rows do not fit into parquet.
    """
    return FORMATS[form].write(sides, out)


def check_place(out: Path, form: str, split: bool) -> None:
    """Refuses a place that :func:`write` would refuse, before the work.

    Raises:
        DataError: the extension is not the format's, or something is in the way.
    """
    out = out.expanduser()
    extension = FORMATS[form].extension
    if extension and not split:
        check_output(out if out.suffix else out.with_suffix(extension))
        if out.suffix != extension:
            raise DataError(f"--out {out}: --format {form} writes a {extension} file; name it so")
    elif out.suffix in (".parquet", ".jsonl"):
        raise DataError(f"--out {out}: here it is a folder that is written, so leave out the {out.suffix}")
    elif out.exists() and not out.is_dir():
        raise DataError(f"--out {out} is a file; name a folder")
