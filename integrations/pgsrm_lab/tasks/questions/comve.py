"""ComVE (SemEval-2020 task 4): which of two statements is against common sense, and three people's reasons why."""

from __future__ import annotations

import csv
import hashlib
import io

from pgsrm_lab.tasks.questions.mentions import named_option
from pgsrm_lab.tasks.questions.question import Question
from pgsrm_lab.tasks.questions.source import PublicSet, SourceFile
from pgsrm_plugin.errors import DataError

_FOLDER = (
    "https://raw.githubusercontent.com/wangcunxiang/SemEval2020-Task4-Commonsense-Validation-and-Explanation/"
    "c55b1a9e6cb66997675f85073e17a9522cf38c2c"
)
_STATEMENTS = ("Incorrect Statement", "Correct Statement")
_REASONS = ("Right Reason1", "Right Reason2", "Right Reason3")


def parse(content: bytes, held_out: bool, language: str, notes: list[str]) -> list[Question]:
    """The questions of one of the source's .csv files.

    Which statement comes first is drawn from the statements themselves, so that it tells nothing and stays the same.

    Raises:
        DataError: a column is missing.
    """
    name = "dev.csv" if held_out else "train.csv"
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    for column in (*_STATEMENTS, *_REASONS):
        if column not in (reader.fieldnames or ()):
            raise DataError(f"{name} has no column {column!r}")
    questions = []
    for number, row in enumerate(reader, 1):
        statements = [row[column].strip() for column in _STATEMENTS]
        key = hashlib.sha256("\n".join(statements).encode()).digest()[0] % 2
        reasons = [reason for column in _REASONS if (reason := row[column].strip())]
        told = [reason for reason in reasons if not named_option(reason)]
        if len(told) < len(reasons):
            notes.append(f"{name}, row {number}: a reason that names a statement by its number was left out")
        try:
            question = Question(
                text="Which of the two statements is against common sense?",
                options=tuple(statements if key == 0 else reversed(statements)),
                key=key,
                references=tuple(told),
                held_out=held_out,
                labels={"id": f"{name}:{number}"},
            )
        except DataError as error:
            notes.append(f"{name}, row {number} was left out: {error}")
        else:
            questions.append(question)
    return questions


COMVE = PublicSet(
    name="comve",
    title="ComVE, SemEval-2020 task 4 (Wang et al., 2020)",
    licence="CC BY-SA 4.0",
    files={
        "train": SourceFile(
            _FOLDER, "ALL data/train.csv", "a850e53f066697943220a5e2a01c732f929833717f7af9982b0ec81835ed19f8"
        ),
        "held_out": SourceFile(
            _FOLDER, "ALL data/dev.csv", "d99a489427084e0cdaf77d73fcf8589385040658e613d9ddeb6f7b85248e9302"
        ),
    },
    parse=parse,
    languages=("en",),
    new_tokens=64,
)
