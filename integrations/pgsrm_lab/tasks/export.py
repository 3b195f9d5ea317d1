"""A task's prompts as rows: this package's records, texts, and verl's layouts for RL and supervised fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pgsrm_lab.tasks.task import Task
from pgsrm_plugin.errors import DataError, did_you_mean

Format = Literal["jsonl", "verl", "sft", "text"]
FORMATS: tuple[Format, ...] = get_args(Format)
_EXTENSIONS = {"jsonl": ".jsonl", "verl": ".parquet", "sft": ".parquet", "text": ".jsonl"}

Row = dict[str, Any]


def records(task: Task, split: str = "train") -> list[Row]:
    """A split's rows as ``pgsrm`` reads them: the references, the ground truth, and as response the expert's answer.

    Where the answer is the reference itself, there is no response: the row is a prompt to train on, and no sample.

    Raises:
        DataError: there is no such split, or it is empty.
    """
    held_out = set(task.held_out_prompts)
    rows = []
    for index, prompt in enumerate(task.split(split)):
        references, answer = task.references_of(prompt), task.expert[prompt]
        rows.append(
            {
                "prompt": prompt,
                **({"references": list(references)} if len(references) > 1 else {"reference": references[0]}),
                "ground_truth": task.truth_of(prompt),
                **({} if references == (answer,) else {"response": answer}),
                "data_source": f"pgsrm/{task.name}",
                "extra_info": {
                    "index": index,
                    "split": "held_out" if prompt in held_out else "train",
                    "max_new_tokens": task.new_tokens,
                    **task.labels.get(prompt, {}),
                },
            }
        )
    return rows


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
                "references": row.get("references") or [row["reference"]],
            },
            "extra_info": row["extra_info"],
        }
        for row in records(task, split)
    ]


def sft_rows(task: Task, split: str = "train") -> list[Row]:
    """A split's rows as verl's supervised trainer has them: a chat in which the expert answers.

    Raises:
        DataError: there is no such split, or it is empty.
    """
    return [
        {
            "messages": [
                {"role": "user", "content": row["prompt"]},
                {"role": "assistant", "content": task.expert[row["prompt"]]},
            ],
            "data_source": row["data_source"],
            "extra_info": row["extra_info"],
        }
        for row in records(task, split)
    ]


def text_rows(task: Task, split: str = "train") -> list[Row]:
    """A split's texts, for continued pre-training.

    Raises:
        DataError: there is no such split, or it is empty.
    """
    source = f"pgsrm/{task.name}"
    return [{"text": text, "data_source": source} for prompt in task.split(split) for text in task.texts_of(prompt)]


def export(task: Task, out: str | Path, layout: str = "jsonl", split: str = "train") -> int:
    """Writes a split to a file, whole or not at all; returns the number of rows.

    Args:
        layout: ``jsonl`` (records) or ``text`` (texts), to .jsonl; ``verl`` (RL rows) or ``sft`` (chats), to .parquet.

    Raises:
        DataError: there is no such split or layout, the extension is another layout's, or the path cannot be written.
    """
    from pgsrm_plugin.data.files import write_rows

    if layout not in FORMATS:
        raise DataError(f"there is no format {layout!r}{did_you_mean(layout, FORMATS)} (formats: {', '.join(FORMATS)})")
    if Path(out).suffix != _EXTENSIONS[layout]:
        raise DataError(f"{out}: format {layout} is written to a {_EXTENSIONS[layout]} file; rename it")
    rows = {"jsonl": records, "verl": verl_rows, "sft": sft_rows, "text": text_rows}[layout](task, split)
    write_rows(out, rows)
    return len(rows)
