"""Sentiment inversion: 101 positive sentences and 25 held-out ones, to be rewritten as sad (PGSRM, arXiv 2512.06920).

The paper: 101 positive sentences of 6.3 words on average, at most 10 new tokens, GPT-2 large 774M, batches of 10. The
prompt's wording is the paper's; the sentences are this project's (``data/README.md``), of 6.3 words on average. Of the
many right answers one is stated: the sentence with each glad word replaced by its counterpart.
"""

from __future__ import annotations

from pgsrm_lab.tasks.tables import read_table
from pgsrm_lab.tasks.task import Task


def prompt(sentence: str) -> str:
    """The request, worded as in the paper."""
    return f"Rewrite this as sad: '{sentence}'"


def sentiment_inversion() -> Task:
    """101 prompts to train on and 25 held-out ones."""
    rows = read_table("inversion")
    train, held_out = (
        tuple(prompt(row["positive"]) for row in rows if row["split"] == name) for name in ("train", "held_out")
    )
    return Task(
        name="inversion",
        summary="a glad sentence, rewritten as sad",
        train_prompts=train,
        held_out_prompts=held_out,
        held_out_kind=(
            "Each held-out prompt is another sentence of the same words. "
            "A child can answer it by learning which words to replace, and to copy the rest."
        ),
        paper_prompts=train,
        expert={prompt(row["positive"]): row["sad"] for row in rows},
        source="sentences and answers: this project, Apache-2.0",
        new_tokens=10,
        mistakes={prompt(row["positive"]): row["positive"] for row in rows},
        mistake_kind="the sentence untouched",
    )
