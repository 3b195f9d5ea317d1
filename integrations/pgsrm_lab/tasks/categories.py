"""Word categorisation: 100 nouns of 10 categories, one category word as the answer (PGSRM, arXiv 2512.06920).

The paper: 100 nouns, at most 2 new tokens, GPT-2 124M, batches of 50. The prompt's wording is the paper's; the nouns
are this project's choice, and their categories WordNet's hypernyms (``data/README.md``).
"""

from __future__ import annotations

from pgsrm_lab.tasks.lookup import lookup_task
from pgsrm_lab.tasks.task import Task


def prompt(noun: str) -> str:
    """The question, worded as in the paper."""
    return f"What category does this word belong to: '{noun}'?"


def word_categorisation() -> Task:
    """100 prompts to train on; none is held out."""
    return lookup_task(
        "categories",
        prompt,
        ("noun", "category"),
        "category",
        "nouns: this project, Apache-2.0; categories: WordNet 3.0, WordNet licence",
    )
