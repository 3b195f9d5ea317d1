"""A task's prompts as rows: this package's records, and verl's RL layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pgsrm_lab.tasks.task import Task
from pgsrm_plugin.errors import DataError, did_you_mean

Format = Literal["jsonl", "verl"]
FORMATS: tuple[Format, ...] = get_args(Format)
_EXTENSIONS = {"jsonl": ".jsonl", "verl": ".parquet"}

Row = dict[str, Any]


def records(task: Task, split: str = "train") -> list[Row]:
    """A split's rows as ``pgsrm`` reads them, with the parent's answer as reference and as ground truth.

    Raises:
        DataError: there is no such split, or it is empty.
    """
    held_out = set(task.held_out_prompts)
    return [
        {
            "prompt": prompt,
            "reference": task.expert[prompt],
            "ground_truth": task.expert[prompt],
            "data_source": f"pgsrm/{task.name}",
            "extra_info": {
                "index": index,
                "split": "held_out" if prompt in held_out else "train",
                "max_new_tokens": task.new_tokens,
            },
        }
        for index, prompt in enumerate(task.split(split))
    ]


def verl_rows(task: Task, split: str = "train") -> list[Row]:
    """A split's rows as verl's RL data sets have them.

    Raises:
        DataError: there is no such split, or it is empty.
    """
    return [
        {
            "data_source": row["data_source"],
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "ability": task.name,
            "reward_model": {
                "style": "rule",
                "ground_truth": row["ground_truth"],
                "references": [row["reference"]],
            },
            "extra_info": row["extra_info"],
        }
        for row in records(task, split)
    ]


def export(task: Task, out: str | Path, layout: str = "jsonl", split: str = "train") -> int:
    """Writes a split to a file, whole or not at all; returns the number of rows.

    Args:
        layout: ``jsonl`` (records, to .jsonl) or ``verl`` (RL rows, to .parquet).

    Raises:
        DataError: there is no such split or layout, the extension is another layout's, or the path cannot be written.
    """
    from pgsrm_plugin.data.files import write_rows

    if layout not in FORMATS:
        raise DataError(f"there is no format {layout!r}{did_you_mean(layout, FORMATS)} (formats: {', '.join(FORMATS)})")
    if Path(out).suffix != _EXTENSIONS[layout]:
        raise DataError(f"{out}: format {layout} is written to a {_EXTENSIONS[layout]} file; rename it")
    rows = records(task, split) if layout == "jsonl" else verl_rows(task, split)
    write_rows(out, rows)
    return len(rows)
