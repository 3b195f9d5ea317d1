"""Beginnings of a reference that some responses go on from (G2RPO-A, arXiv 2508.13023), and how long they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from pgsrm_lightning.config import GuidanceConfig
from pgsrm_lightning.distributed import total, widest
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.policy import Policy
from pgsrm_plugin import RewardOutput
from pgsrm_plugin.data.layouts import whole_text
from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.policy.cut import beginning

TOKENS, GUIDED, UNGUIDED = "train/guidance_tokens", "train/reward_guided", "train/reward_unguided"
"""What is logged: the length of a beginning, and the mean rewards of the responses with one and without."""
_CYCLE = 3
"""Steps after which the length changes."""


@dataclass(frozen=True)
class GuidanceLength:
    """How many tokens of a reference are given, and the mean rewards of the cycle so far."""

    tokens: int
    seen: tuple[float, ...] = ()

    def after(self, reward: float, most: int) -> GuidanceLength:
        """With one more step's mean reward of the responses without guidance.

        As the authors' code has it: at every third step the length is multiplied by what the mean of the two steps
        before is of this one's, down to 1 and up to ``most``; it stays where one of them is not above 0.

        >>> GuidanceLength(100, (0.5, 0.3)).after(0.2, most=256), GuidanceLength(100, (0.5, 0.3)).after(0.8, most=256)
        (GuidanceLength(tokens=200, seen=()), GuidanceLength(tokens=50, seen=()))
        >>> GuidanceLength(100, (0.5, 0.3)).after(0.0, most=256), GuidanceLength(100, (0.5,)).after(0.3, most=256)
        (GuidanceLength(tokens=100, seen=()), GuidanceLength(tokens=100, seen=(0.5, 0.3)))
        """
        seen = (*self.seen, reward)
        if len(seen) < _CYCLE:
            return replace(self, seen=seen)
        before = sum(seen[:-1]) / (len(seen) - 1)
        if min(seen) <= 0 or before == reward:
            return GuidanceLength(self.tokens)
        return GuidanceLength(max(1, min(int(self.tokens * before / reward), most)))


class Guidance(nn.Module):
    """Says which responses go on from which tokens, and learns how many. Its state goes into checkpoints.

    Args:
        group_size: responses to a prompt, of which the first have guidance.
    """

    def __init__(self, config: GuidanceConfig, group_size: int) -> None:
        super().__init__()
        self.config, self._group_size = config, group_size
        self.length = self._next = GuidanceLength(config.start)

    def is_guided(self, rows: int) -> list[bool]:
        """Which of a step's responses have guidance."""
        return [row % self._group_size < self.config.guided(self._group_size) for row in range(rows)]

    def check(self, record: Record) -> None:
        """Refuses a row that has nothing to guide by.

        Raises:
            DataError: naming row and field.
        """
        if not self._text(record).strip():
            field = self.config.column or "reference"
            raise DataError(f"{record.label}: field {field!r} is missing, and guidance is the beginning of it")

    def beginnings(self, records: Sequence[Record], policy: Policy) -> list[tuple[int, ...]]:
        """The tokens that each response goes on from; none where it has no guidance.

        Never the last token of the text, so something is left to write; nothing is padded.

        Args:
            records: one a response.
        """
        known: dict[int, tuple[int, ...]] = {}
        found: list[tuple[int, ...]] = []
        for record, guided in zip(records, self.is_guided(len(records)), strict=True):
            if guided and id(record) not in known:
                tokens = policy.tokenizer(self._text(record), add_special_tokens=False)["input_ids"]
                known[id(record)] = beginning(tokens, min(self.length.tokens, len(tokens) - 1), policy.tokenizer.decode)
            found.append(known[id(record)] if guided else ())
        return found

    def measure(self, output: RewardOutput, meter: Meter) -> None:
        """Looks at a step's rewards; :meth:`commit` takes them in, when it is done."""
        guided_B = torch.tensor(self.is_guided(len(output)))
        rewards_B, scored_B = output.rewards, output.scored_B
        meter.add(TOKENS, self.length.tokens)
        meter.add_masked(GUIDED, rewards_B, scored_B & guided_B)
        meter.add_masked(UNGUIDED, rewards_B, scored_B & ~guided_B)
        own_B = scored_B & ~guided_B
        table = torch.stack([torch.where(own_B, rewards_B, 0.0).sum(), own_B.sum().double()])
        summed, count = total(table.to(widest(meter.device)).to(meter.device)).tolist()
        self._next = self.length.after(summed / count, self.config.max) if count else self.length

    def commit(self) -> None:
        """Takes the step in that was looked at last."""
        self.length = self._next

    def get_extra_state(self) -> dict[str, list[float]]:
        """For a checkpoint."""
        return {"tokens": [float(self.length.tokens)], "seen": [*self.length.seen]}

    def set_extra_state(self, state: dict[str, list[float]]) -> None:
        """From a checkpoint."""
        self.length = self._next = GuidanceLength(int(state["tokens"][0]), tuple(state["seen"]))

    def _text(self, record: Record) -> str:
        if self.config.column is not None:
            return whole_text(record.row, self.config.column)
        return record.references[0] if record.references else ""
