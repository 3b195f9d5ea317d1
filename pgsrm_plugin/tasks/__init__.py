"""The tasks of the PGSRM paper, as plain data: prompts, a split, and an expert's answers."""

from pgsrm_plugin.tasks.colours import colour_mixing
from pgsrm_plugin.tasks.task import Task

TASKS = {"colours": colour_mixing}

__all__ = ["TASKS", "Task", "colour_mixing"]
