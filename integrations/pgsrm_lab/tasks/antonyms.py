"""Antonym generation: 94 words, each to be answered with its opposite (PGSRM, arXiv 2512.06920).

The paper: 94 words, at most 2 new tokens, GPT-2 124M, batches of 50. The prompt's wording is the paper's; the words are
this project's choice, and the answers WordNet's (``data/README.md``).
"""

from __future__ import annotations

from pgsrm_lab.tasks.lookup import lookup_task
from pgsrm_lab.tasks.task import Task


def prompt(word: str) -> str:
    """The question, worded as in the paper."""
    return f"The opposite of '{word}' is"


def antonym_generation() -> Task:
    """94 prompts to train on; none is held out."""
    return lookup_task(
        "antonyms",
        prompt,
        ("word", "antonym"),
        "opposite",
        "words: this project, Apache-2.0; answers: WordNet 3.0, WordNet licence",
    )
