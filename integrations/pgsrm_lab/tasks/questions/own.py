"""Files of questions: .jsonl or .csv, one's own or the project's."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pgsrm_lab.tasks.questions.mentions import named_option
from pgsrm_lab.tasks.questions.question import Question, find_key, question_task
from pgsrm_lab.tasks.task import Task
from pgsrm_plugin.data.faults import Faults
from pgsrm_plugin.data.files import read_rows
from pgsrm_plugin.data.rows import labelled
from pgsrm_plugin.errors import DataError, did_you_mean

EXTENSIONS = (".jsonl", ".csv")
HOLD_OUT_EVERY = 5
"""Without a column ``split``, each fifth question is held out."""
_NEEDED = ("question", "key", "explanation")
_LABELS = ("id", "topic")


def read_questions(path: str | Path) -> tuple[list[Question], list[str]]:
    """The questions of a file, and a note for each explanation that names an option.

    A row has ``question``, ``options`` (a list; in a .csv the columns ``option_1``, ``option_2``, ...), ``key`` (the
    right option's text or letter), ``explanation``, and optionally further explanations (``reference_2``, ...),
    ``split`` (train or held_out), ``id`` and ``topic``.

    Raises:
        DataError: the file cannot be read, or rows are wrong; the message names the first five.
    """
    faults, questions, notes = Faults(), [], []
    for number, (label, row) in enumerate(_rows(Path(path)), 1):
        with faults.collect(), labelled(label):
            question = _question(row, number)
            questions.append(question)
            notes += [
                f"{label}: the explanation names an option ({named!r}); say what the option says instead"
                for named in map(named_option, question.references)
                if named
            ]
    faults.check()
    return questions, notes


def own_task(path: str | Path) -> Task:
    """The task of a file of questions.

    Raises:
        DataError: as :func:`read_questions`, or nothing is left to train on.
    """
    questions, notes = read_questions(path)
    return question_task(
        Path(path).stem,
        questions,
        summary="the right option's letter, after an explanation",
        held_out_kind=f"The rows say so, or each {HOLD_OUT_EVERY}th question is held out.",
        source=str(path),
        new_tokens=256,
        notes=notes,
    )


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix != ".csv":
        yield from read_rows(path)
        return
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start + 1}); save it as CSV UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), dialect=_dialect(text))
    try:
        for row in reader:
            yield f"{path}:{reader.line_num}", {name: value for name, value in row.items() if name}
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV ({error})") from None


def _dialect(text: str) -> type[csv.Dialect] | str:
    """That of Excel, which writes semicolons where a comma is the decimal sign."""

    class Semicolons(csv.excel):
        delimiter = ";"

    header = text.partition("\n")[0]
    return Semicolons if header.count(";") > header.count(",") else "excel"


def _question(row: Mapping[str, Any], number: int) -> Question:
    for name in _NEEDED:
        if name not in row:
            raise DataError(
                f"column {name!r} is missing{did_you_mean(name, row)} (the row has: {', '.join(map(str, row))})"
            )
    options = row.get("options")
    if options is None:
        options = [value for name, value in row.items() if name.startswith("option_") and value]
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise DataError("'options' must be a list of texts; in a .csv give columns option_1, option_2, ...")
    split = row.get("split") or ("train" if number % HOLD_OUT_EVERY else "held_out")
    if split not in ("train", "held_out"):
        raise DataError(f"'split' must be train or held_out, not {split!r}")
    others = [value for name, value in row.items() if name.startswith("reference_") and value]
    return Question(
        text=_text(row, "question"),
        options=tuple(option.strip() for option in options),
        key=find_key(_text(row, "key"), [option.strip() for option in options]),
        references=(_text(row, "explanation"), *(str(other).strip() for other in others)),
        held_out=split == "held_out",
        labels={name: str(row[name]) for name in _LABELS if row.get(name)},
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if value is not None and not isinstance(value, str):
        raise DataError(f"{name!r} must be text, not {value!r}")
    return (value or "").strip()
