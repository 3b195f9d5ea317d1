"""Word categorisation: 100 nouns of 10 categories, one category word as the answer (PGSRM, arXiv 2512.06920).

The paper: 100 nouns, at most 2 new tokens, GPT-2 124M, batches of 50. The prompt's wording is the paper's; the nouns
are this project's choice, and their categories WordNet's hypernyms (``data/README.md``).
"""

from __future__ import annotations

from pgsrm_plugin.tasks.tables import read_table
from pgsrm_plugin.tasks.task import Task


def prompt(noun: str) -> str:
    """The question, worded as in the paper."""
    return f"What category does this word belong to: '{noun}'?"


def word_categorisation() -> Task:
    """100 prompts to train on; none is held out."""
    pairs = [(row["noun"], row["category"]) for row in read_table("categories")]
    prompts = tuple(prompt(noun) for noun, _ in pairs)
    return Task(
        name="categories",
        summary="the category of a noun",
        train_prompts=prompts,
        held_out_prompts=(),
        held_out_kind=(
            "None is held out: a child that never saw a noun has no way to know its category. "
            "Accuracy on the training prompts is what it learned by heart."
        ),
        paper_prompts=prompts,
        expert={prompt(noun): category for noun, category in pairs},
        source="nouns: this project, Apache-2.0; categories: WordNet 3.0, WordNet licence",
        new_tokens=2,
        mistakes={prompt(noun): noun for noun, _ in pairs},
        mistake_kind="the noun itself",
    )
