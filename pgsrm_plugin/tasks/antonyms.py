"""Antonym generation: 94 words, each to be answered with its opposite (PGSRM, arXiv 2512.06920).

The paper: 94 words, at most 2 new tokens, GPT-2 124M, batches of 50. The prompt's wording is the paper's; the words are
this project's choice, and the answers WordNet's (``data/README.md``).
"""

from __future__ import annotations

from pgsrm_plugin.tasks.tables import read_table
from pgsrm_plugin.tasks.task import Task


def prompt(word: str) -> str:
    """The question, worded as in the paper."""
    return f"The opposite of '{word}' is"


def antonym_generation() -> Task:
    """94 prompts to train on; none is held out."""
    pairs = [(row["word"], row["antonym"]) for row in read_table("antonyms")]
    prompts = tuple(prompt(word) for word, _ in pairs)
    return Task(
        name="antonyms",
        summary="the opposite of a word",
        train_prompts=prompts,
        held_out_prompts=(),
        held_out_kind=(
            "None is held out: a child that never saw a word has no way to know its opposite. "
            "Accuracy on the training prompts is what it learned by heart."
        ),
        paper_prompts=prompts,
        expert={prompt(word): antonym for word, antonym in pairs},
        source="words: this project, Apache-2.0; answers: WordNet 3.0, WordNet licence",
        new_tokens=2,
        mistakes={prompt(word): word for word, _ in pairs},
        mistake_kind="the word itself",
    )
