"""What a task is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pgsrm_plugin.errors import DataError, did_you_mean

Split = Literal["train", "held_out", "paper", "all"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Task:
    """Prompts with their split, and what an expert would answer.

    Attributes:
        name: short and lower-case, for files and logs.
        summary: what is asked, in a few words.
        train_prompts: what the child may train on.
        held_out_prompts: never trained on; none where a child has no way to know their answers.
        held_out_kind: what the held-out prompts are and how a child could know their answers, or why there are none.
        paper_prompts: as many as the paper's child trains on; the paper holds none out.
        expert: an answer to every prompt of both sets. A parent may be taught with it; a child is not.
        source: where the prompts and answers come from, and under which licence.
        new_tokens: how long an answer may be, in GPT-2's tokens, as in the paper.
        mistakes: a typical wrong answer to every prompt, for measuring what a reward gives to it.
        mistake_kind: what these are, in a few words.
    """

    name: str
    summary: str
    train_prompts: tuple[str, ...]
    held_out_prompts: tuple[str, ...]
    held_out_kind: str
    paper_prompts: tuple[str, ...]
    expert: Mapping[str, str]
    source: str
    new_tokens: int
    mistakes: Mapping[str, str]
    mistake_kind: str

    @property
    def prompts(self) -> tuple[str, ...]:
        """Training prompts, then held-out ones."""
        return self.train_prompts + self.held_out_prompts

    def split(self, name: str) -> tuple[str, ...]:
        """The prompts of ``train``, ``held_out``, ``paper`` or ``all``.

        Raises:
            DataError: there is no such split, or it is empty.
        """
        if name not in SPLITS:
            nearest = did_you_mean(name, SPLITS)
            raise DataError(f"there is no split {name!r}{nearest} (splits: {', '.join(SPLITS)})")
        prompts = {
            "train": self.train_prompts,
            "held_out": self.held_out_prompts,
            "paper": self.paper_prompts,
            "all": self.prompts,
        }[name]
        if not prompts:
            raise DataError(f"task {self.name!r} has no held-out prompts. {self.held_out_kind}")
        return prompts
