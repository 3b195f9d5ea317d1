"""What a task is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        paper_prompts: as many as the PGSRM paper's child trains on, who holds none out; none: not a task of that paper.
        expert: an answer to every prompt of both sets. A parent may be taught with it; a child is not, unless it is
            shown how to answer (supervised fine-tuning).
        source: where the prompts and answers come from, and under which licence.
        new_tokens: how long an answer may be, in GPT-2's tokens; the paper's, where it is the paper's task.
        mistakes: a typical wrong answer to every prompt, for measuring what a reward gives to it.
        mistake_kind: what these are, in a few words.
        references: what an answer is compared with, where that is not the expert's whole answer.
        truths: what decides whether it is right, where that is not the expert's whole answer.
        texts: what a text book would say of each prompt, for continued pre-training; none: prompt and answer.
        labels: what else is known of a prompt, as texts by name.
        notes: what to know about single rows: which were left out or changed, and why.
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
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    truths: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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
        if not prompts and name == "paper":
            raise DataError(f"task {self.name!r} is not one of the PGSRM paper's; its splits: train, held_out, all")
        if not prompts:
            raise DataError(f"task {self.name!r} has no held-out prompts. {self.held_out_kind}")
        return prompts

    def references_of(self, prompt: str) -> tuple[str, ...]:
        """What an answer to a prompt is compared with."""
        return self.references.get(prompt) or (self.expert[prompt],)

    def texts_of(self, prompt: str) -> tuple[str, ...]:
        """What continued pre-training reads of a prompt."""
        return self.texts.get(prompt) or (f"{prompt} {self.expert[prompt]}",)

    def truth_of(self, prompt: str) -> str:
        """What decides whether an answer to a prompt is right."""
        return self.truths.get(prompt, self.expert[prompt])
