"""Exact string copying: 100 short sentences and 25 held-out ones (PGSRM, arXiv 2512.06920).

The paper: 100 sentences of 4.25 words on average, at most 10 new tokens, GPT-2 large 774M, batches of 10. The prompt's
wording is the paper's; the sentences are this project's (``data/README.md``), of 4.25 words on average.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_lab.tasks.tables import read_table
from pgsrm_lab.tasks.task import Task


def prompt(sentence: str) -> str:
    """The request, worded as in the paper."""
    return f"Copy this sentence: '{sentence}'"


def string_copying() -> Task:
    """100 prompts to train on and 25 held-out ones."""
    rows = read_table("copying")
    train, held_out = ([row["sentence"] for row in rows if row["split"] == name] for name in ("train", "held_out"))
    prompts = tuple(map(prompt, train))
    return Task(
        name="copying",
        summary="a sentence, copied word for word",
        train_prompts=prompts,
        held_out_prompts=tuple(map(prompt, held_out)),
        held_out_kind=(
            "Each held-out prompt is another sentence of the same words. "
            "A child can answer it by learning to copy rather than to recite."
        ),
        paper_prompts=prompts,
        expert={prompt(sentence): sentence for sentence in train + held_out},
        source="sentences: this project, Apache-2.0",
        new_tokens=10,
        mistakes={prompt(sentence): _one_word_wrong(sentence, train) for sentence in train + held_out},
        mistake_kind="its last word replaced",
    )


def _one_word_wrong(sentence: str, others: Sequence[str]) -> str:
    """The sentence with the last word of the first of the others that has as many words and another last word."""
    *kept, last = sentence.split()
    wrong = next(other.split()[-1] for other in others if other.count(" ") == len(kept) and other.split()[-1] != last)
    return " ".join([*kept, wrong])
