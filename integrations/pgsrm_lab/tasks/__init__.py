"""Tasks as plain data: prompts, a split, and an expert's answers. The PGSRM paper's five, and explanations."""

from collections.abc import Callable

from pgsrm_lab.tasks.antonyms import antonym_generation
from pgsrm_lab.tasks.categories import word_categorisation
from pgsrm_lab.tasks.colours import colour_mixing
from pgsrm_lab.tasks.copying import string_copying
from pgsrm_lab.tasks.inversion import sentiment_inversion
from pgsrm_lab.tasks.questions import own
from pgsrm_lab.tasks.questions.explanations import explained_questions
from pgsrm_lab.tasks.task import SPLITS, Split, Task
from pgsrm_plugin.errors import DataError, did_you_mean

PGSRM_TASKS: dict[str, Callable[[], Task]] = {
    "colours": colour_mixing,
    "antonyms": antonym_generation,
    "categories": word_categorisation,
    "copying": string_copying,
    "inversion": sentiment_inversion,
}
"""Those of the PGSRM paper, arXiv 2512.06920, in its order."""
TASKS: dict[str, Callable[[], Task]] = {**PGSRM_TASKS, "explanations": explained_questions}

__all__ = [
    "PGSRM_TASKS",
    "SPLITS",
    "TASKS",
    "Split",
    "Task",
    "antonym_generation",
    "colour_mixing",
    "explained_questions",
    "load_task",
    "sentiment_inversion",
    "string_copying",
    "word_categorisation",
]


def load_task(name: str) -> Task:
    """The task of a name in :data:`TASKS`, or of a file of questions (:mod:`pgsrm_lab.tasks.questions.own`).

    Raises:
        DataError: there is no such task, or the file is none of questions.
    """
    if name.endswith(own.EXTENSIONS):
        return own.own_task(name)
    if name not in TASKS:
        raise DataError(
            f"there is no task {name!r}{did_you_mean(name, TASKS)} (tasks: {', '.join(TASKS)}; "
            f"or a file of your own questions, {' or '.join(own.EXTENSIONS)})"
        )
    return TASKS[name]()
