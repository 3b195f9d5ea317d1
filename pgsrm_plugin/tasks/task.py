"""What a task is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """Prompts with their split, and what an expert would answer.

    Attributes:
        name: short and lower-case, for files and logs.
        train_prompts: what the child may train on.
        held_out_prompts: never trained on.
        held_out_kind: one sentence that says what the held-out prompts are and how a child could know their answers.
        expert: an answer to every prompt of both sets. A parent may be taught with it; a child is not.
        new_tokens: how long an answer may be.
    """

    name: str
    train_prompts: tuple[str, ...]
    held_out_prompts: tuple[str, ...]
    held_out_kind: str
    expert: Mapping[str, str]
    new_tokens: int

    @property
    def prompts(self) -> tuple[str, ...]:
        """Training prompts, then held-out ones."""
        return self.train_prompts + self.held_out_prompts
