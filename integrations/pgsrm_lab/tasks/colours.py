"""Colour mixing: 10 colours, 90 ordered pairs, one colour word as the answer (PGSRM, arXiv 2512.06920).

The paper: at most 2 new tokens, GPT-2 124M, batches of 50. The prompt's wording is the paper's. The answers are this
project's own judgement of how pigments mix; they are part of its source code and under its licence.
"""

from __future__ import annotations

from pgsrm_lab.tasks.task import Task

COLOURS = ("red", "blue", "yellow", "green", "orange", "purple", "white", "black", "brown", "pink")

# Column i of a row is the mixture with the i-th of the colours that come after the row's own in COLOURS.
_MIXTURES = {
    "red": "purple orange brown scarlet magenta pink maroon maroon coral",
    "blue": "green teal brown indigo azure navy gray lavender",
    "yellow": "lime amber brown cream olive tan peach",
    "green": "olive gray mint forest olive gray",
    "orange": "rust peach brown rust coral",
    "purple": "lavender plum plum magenta",
    "white": "gray tan pink",
    "black": "brown mauve",
    "brown": "mauve",
}

PAIRS: dict[tuple[str, str], str] = {
    (first, second): mixture
    for row, first in enumerate(COLOURS[:-1])
    for second, mixture in zip(COLOURS[row + 1 :], _MIXTURES[first].split(), strict=True)
}
"""The mixture of each of the 45 unordered pairs, keyed in the order of :data:`COLOURS`."""


def mix(a: str, b: str) -> str:
    """The expert's mixture of two different base colours; the order does not matter.

    Raises:
        KeyError: they are not two different colours of :data:`COLOURS`.
    """
    return PAIRS[(a, b)] if (a, b) in PAIRS else PAIRS[(b, a)]


def prompt(a: str, b: str) -> str:
    """The question, worded as in the paper."""
    return f"Mix the two colors and output only one lowercase color name: {a} and {b} is =>"


def colour_mixing() -> Task:
    """75 prompts to train on and 15 held-out ones: every third pair is held out in one of its two orders."""
    held_out = [
        pair if index % 2 else pair[::-1]
        for index, pair in enumerate(pair for i, pair in enumerate(PAIRS) if i % 3 == 2)
    ]
    ordered = [(a, b) for a in COLOURS for b in COLOURS if a != b]
    return Task(
        name="colours",
        summary="the colour that two colours mix to",
        train_prompts=tuple(prompt(a, b) for a, b in ordered if (a, b) not in held_out),
        held_out_prompts=tuple(prompt(a, b) for a, b in held_out),
        held_out_kind=(
            "Each held-out prompt is a pair of colours in one order; the other order is among the training prompts. "
            "A child that knows nothing of colours can answer it by learning that the order does not matter."
        ),
        paper_prompts=tuple(prompt(a, b) for a, b in ordered),
        expert={prompt(a, b): mix(a, b) for a, b in ordered},
        source="colours and mixtures: this project, Apache-2.0",
        new_tokens=2,
        mistakes={prompt(a, b): b if mix(a, b) == a else a for a, b in ordered},
        mistake_kind="one of the two colours",
    )
