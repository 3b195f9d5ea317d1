"""The five tasks of the PGSRM paper, as plain data: prompts, a split, and an expert's answers."""

from collections.abc import Callable

from pgsrm_lab.tasks.antonyms import antonym_generation
from pgsrm_lab.tasks.categories import word_categorisation
from pgsrm_lab.tasks.colours import colour_mixing
from pgsrm_lab.tasks.copying import string_copying
from pgsrm_lab.tasks.inversion import sentiment_inversion
from pgsrm_lab.tasks.task import SPLITS, Split, Task
from pgsrm_plugin.errors import DataError, did_you_mean

TASKS: dict[str, Callable[[], Task]] = {
    "colours": colour_mixing,
    "antonyms": antonym_generation,
    "categories": word_categorisation,
    "copying": string_copying,
    "inversion": sentiment_inversion,
}

__all__ = [
    "SPLITS",
    "TASKS",
    "Split",
    "Task",
    "antonym_generation",
    "colour_mixing",
    "load_task",
    "sentiment_inversion",
    "string_copying",
    "word_categorisation",
]


def load_task(name: str) -> Task:
    """The task of a name in :data:`TASKS`.

    Raises:
        DataError: there is no such task.
    """
    if name not in TASKS:
        raise DataError(f"there is no task {name!r}{did_you_mean(name, TASKS)} (tasks: {', '.join(TASKS)})")
    return TASKS[name]()
