"""What a multiple-choice question is, how it is asked, and the task that questions make."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from pgsrm_lab.tasks.task import Task
from pgsrm_plugin.errors import DataError, did_you_mean

LETTERS = "ABCDEFGH"
ASKING = {
    "en": (
        "Which option is right, and why? Explain it without naming letters, then give the letter: "
        "<explanation>...</explanation><answer>letter</answer>"
    ),
    "it": (
        "Quale opzione è giusta, e perché? Spiegalo senza citare le lettere, poi scrivi la lettera: "
        "<explanation>...</explanation><answer>lettera</answer>"
    ),
    "es": (
        "¿Qué opción es correcta y por qué? Explícalo sin citar las letras y después escribe la letra: "
        "<explanation>...</explanation><answer>letra</answer>"
    ),
    "fr": (
        "Quelle option est juste, et pourquoi ? Explique-le sans citer les lettres, puis écris la lettre : "
        "<explanation>...</explanation><answer>lettre</answer>"
    ),
}
"""What is asked for, by language. The tags are those of the spec ``semantic`` (arXiv 2509.13081)."""


@dataclass(frozen=True)
class Question:
    """A question, its options, the right one, and how experts explain it.

    Attributes:
        text: the question, with what has to be known for it.
        options: 2 to 8 different texts, without letters.
        key: the right one's place, from 0.
        references: experts' explanations, at least one; the first one is what a child is shown.
        held_out: whether it is never trained on.
        labels: what else is known of it, as texts by name: ``id``, ``topic``.
        language: one of :data:`ASKING`.

    Raises:
        DataError: the options, the key or the explanations are not so.
    """

    text: str
    options: tuple[str, ...]
    key: int
    references: tuple[str, ...]
    held_out: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    language: str = "en"

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise DataError("the question is empty")
        if not 2 <= len(self.options) <= len(LETTERS):
            raise DataError(f"there must be 2 to {len(LETTERS)} options, not {len(self.options)}")
        if not all(option.strip() for option in self.options):
            raise DataError("an option is empty")
        if len(set(self.options)) < len(self.options):
            twice = next(option for option in self.options if self.options.count(option) > 1)
            raise DataError(f"two options are the same: {twice[:60]!r}")
        if not 0 <= self.key < len(self.options):
            raise DataError(f"the key is number {self.key + 1}, and there are {len(self.options)} options")
        if not self.references or not all(reference.strip() for reference in self.references):
            raise DataError("the explanation is empty")

    @property
    def letter(self) -> str:
        """The right option's."""
        return LETTERS[self.key]

    @cached_property
    def prompt(self) -> str:
        """The question as a child gets it."""
        options = (f"{letter}) {option}" for letter, option in zip(LETTERS, self.options, strict=False))
        return "\n".join([self.text, *options, ASKING[self.language]])

    @property
    def answer(self) -> str:
        """An expert's whole answer: explanation and letter, in their tags."""
        return f"<explanation>{self.references[0]}</explanation><answer>{self.letter}</answer>"

    @property
    def texts(self) -> tuple[str, ...]:
        """What a text book would say: the question, the right option, and a reason; one text an explanation."""
        return tuple(f"{self.text} {self.options[self.key].rstrip('.')}. {told}" for told in self.references)

    @property
    def echo(self) -> str:
        """What a child would say that repeats the question with a wrong option and explains nothing."""
        return f"{self.text} {self.options[(self.key + 1) % len(self.options)]}"


def options_of(prompt: str) -> dict[str, str]:
    """The options in a prompt of :attr:`Question.prompt`, by letter.

    >>> options_of("Why?\\nA) No.\\nB) Yes.\\nWhich option is right?")
    {'A': 'No.', 'B': 'Yes.'}
    """
    return dict(re.findall(rf"^([{LETTERS}])\) (.*)$", prompt, flags=re.MULTILINE))


def find_key(key: str, options: Sequence[str]) -> int:
    """The place of the option that a key names by its text or its letter.

    Raises:
        DataError: it is neither.
    """
    if key in options:
        return options.index(key)
    letters = LETTERS[: len(options)]
    if len(key.strip()) == 1 and key.strip().upper() in letters:
        return letters.index(key.strip().upper())
    raise DataError(
        f"the key {key[:60]!r} is none of the options{did_you_mean(key, options)} "
        f"(give an option's text, or a letter from {letters[0]} to {letters[-1]})"
    )


def question_task(
    name: str,
    questions: Sequence[Question],
    *,
    summary: str,
    held_out_kind: str,
    source: str,
    new_tokens: int,
    notes: Sequence[str] = (),
) -> Task:
    """The task of questions. Those in the same words become the first of them, with all explanations of its key.

    Raises:
        DataError: none of them is to be trained on.
    """
    alike: dict[str, list[Question]] = {}
    for question in questions:
        alike.setdefault(question.prompt, []).append(question)
    kept = [_joined(repeated) for repeated in alike.values()]
    joined = len(questions) - len(kept)
    if all(question.held_out for question in kept):
        raise DataError(f"{name}: no question is left to train on")
    return Task(
        name=name,
        summary=summary,
        train_prompts=tuple(question.prompt for question in kept if not question.held_out),
        held_out_prompts=tuple(question.prompt for question in kept if question.held_out),
        held_out_kind=held_out_kind,
        paper_prompts=(),
        expert={question.prompt: question.answer for question in kept},
        source=source,
        new_tokens=new_tokens,
        mistakes={question.prompt: question.echo for question in kept},
        mistake_kind="the question with a wrong option",
        references={question.prompt: question.references for question in kept},
        truths={question.prompt: question.letter for question in kept},
        texts={question.prompt: question.texts for question in kept},
        labels={question.prompt: question.labels for question in kept},
        notes=(
            *notes,
            *(
                [f"{joined} repeated questions were joined, with all their explanations as references"]
                if joined
                else []
            ),
        ),
    )


def _joined(repeated: Sequence[Question]) -> Question:
    first = repeated[0]
    told = [reference for one in repeated if one.key == first.key for reference in one.references]
    return replace(first, references=tuple(dict.fromkeys(told)))
