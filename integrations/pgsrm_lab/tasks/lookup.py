"""A task whose answers are looked up in a table of words, where nothing can be held out."""

from __future__ import annotations

from collections.abc import Callable

from pgsrm_lab.tasks.tables import read_table
from pgsrm_lab.tasks.task import Task


def lookup_task(
    name: str, prompt: Callable[[str], str], columns: tuple[str, str], answer_kind: str, source: str
) -> Task:
    """A prompt for each row of the table ``name``, all of them to train on.

    Args:
        name: of the task and of its table.
        prompt: the question about a word.
        columns: of the word and of its answer. The former is also what messages call a word.
        answer_kind: what messages call an answer.
        source: where words and answers come from, with licences.
    """
    word_kind, answer = columns
    pairs = [(row[word_kind], row[answer]) for row in read_table(name)]
    prompts = tuple(prompt(word) for word, _ in pairs)
    return Task(
        name=name,
        summary=f"the {answer_kind} of a {word_kind}",
        train_prompts=prompts,
        held_out_prompts=(),
        held_out_kind=(
            f"None is held out: a child that never saw a {word_kind} has no way to know its {answer_kind}. "
            "Accuracy on the training prompts is what it learned by heart."
        ),
        paper_prompts=prompts,
        expert={prompt(word): right for word, right in pairs},
        source=source,
        new_tokens=2,
        mistakes={prompt(word): word for word, _ in pairs},
        mistake_kind=f"the {word_kind} itself",
    )
