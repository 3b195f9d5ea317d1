"""Explanations: multiple-choice questions, each to be answered with a reason and a letter (Semantic GRPO, 2509.13081).

The paper's questions are a publisher's and cannot be had; these are the project's own, in six fields
(``data/README.md``), each with two explanations in different words.
"""

from __future__ import annotations

from importlib.resources import as_file, files

from pgsrm_lab.tasks.questions.own import read_questions
from pgsrm_lab.tasks.questions.question import question_task
from pgsrm_lab.tasks.task import Task


def explained_questions() -> Task:
    """Each fifth question is held out, so that all fields are in both parts.

    Raises:
        DataError: the file that is shipped was changed, and is wrong.
    """
    with as_file(files("pgsrm_lab.tasks").joinpath("data", "explanations.jsonl")) as path:
        questions, notes = read_questions(path)
    return question_task(
        "explanations",
        questions,
        summary="the right option's letter, after an explanation",
        held_out_kind=(
            "Each held-out prompt asks for another fact of the same six fields. A child that starts from nothing "
            "can learn the form and the style of explanations; to choose rightly it must know the fact already."
        ),
        source="questions and explanations: this project, CC0 1.0",
        new_tokens=160,
        notes=notes,
    )
