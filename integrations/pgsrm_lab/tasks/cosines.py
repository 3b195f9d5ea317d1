"""How near an encoder puts a task's right answers to wrong ones: where a semantic reward has little to tell apart."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pgsrm_lab.tasks.task import Task
from pgsrm_plugin import functional
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.text import TextSpec
from pgsrm_plugin.text.batch import prepare_reference
from pgsrm_plugin.types import Encoder


@dataclass(frozen=True)
class Cosines:
    """Cosines, each in [-1, 1], between a task's right answers and other texts under one encoder.

    Attributes:
        itself: the least cosine of a right answer with itself; 1 but for rounding.
        others: mean, 95th percentile and maximum over all pairs of different right answers.
        mistakes: mean, minimum and maximum over each prompt's typical wrong answer.
        beaten: share of the prompts whose typical wrong answer is nearer than 95 % of the other right answers.
        nearest: the two different right answers that are nearest to each other.
    """

    task: str
    mistake_kind: str
    itself: float
    others: tuple[float, float, float]
    mistakes: tuple[float, float, float]
    beaten: float
    nearest: tuple[str, str]


def measure_cosines(task: Task, encoder: Encoder, text: TextSpec) -> Cosines:
    """Embeds a task's right answers and typical wrong answers, and compares them.

    Raises:
        ScorerError: the encoder failed.
    """
    right = [_prepared(task.references_of(prompt)[0], text) for prompt in task.prompts]
    answers = list(dict.fromkeys(right))
    wrong = [_prepared(task.mistakes[prompt], text) for prompt in task.prompts]
    embedded, _ = CachedEncoder(encoder, limit_mb=0).embed([*right, *wrong])

    def cosines(left: Sequence[str], other: Sequence[str]) -> torch.Tensor:
        sides = [torch.stack([embedded[name].vector_D for name in names]).double() for names in (left, other)]
        return functional.cosine(*sides)

    pairs = list(itertools.combinations(answers, 2))
    others_P = cosines(*zip(*pairs, strict=True))
    mistakes_N = cosines(right, wrong)
    percentile_95 = float(others_P.quantile(0.95))
    return Cosines(
        task=task.name,
        mistake_kind=task.mistake_kind,
        itself=float(cosines(answers, answers).min()),
        others=(float(others_P.mean()), percentile_95, float(others_P.max())),
        mistakes=(float(mistakes_N.mean()), float(mistakes_N.min()), float(mistakes_N.max())),
        beaten=float((mistakes_N > percentile_95).double().mean()),
        nearest=pairs[int(others_P.argmax())],
    )


def markdown(measured: Sequence[Cosines]) -> str:
    """A table, a task a row."""
    lines = [
        "| task | itself | other right answers: mean, 95th percentile, maximum | nearest two "
        "| typical wrong answer | mean, minimum, maximum | past the 95th percentile |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in measured:
        others, mistakes = (", ".join(f"{value:.2f}" for value in values) for values in (one.others, one.mistakes))
        lines.append(
            f"| {one.task} | {one.itself:.2f} | {others} | {' / '.join(map(_short, one.nearest))} "
            f"| {one.mistake_kind} | {mistakes} | {one.beaten:.0%} |"
        )
    return "\n".join(lines)


def _short(answer: str) -> str:
    return textwrap.shorten(answer, 60, placeholder=" ...")


def _prepared(answer: str, text: TextSpec) -> str:
    return prepare_reference(answer, text).text
