"""The reward card: what an audit found, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pgsrm_plugin.audit.card_measures import Share


@dataclass(frozen=True)
class Example:
    """An attack's text that earned much.

    Attributes:
        bar: what it had to reach to count as a success.
        good: what the row's good answers earn.
        fired: the guards that fired, each with its words.
    """

    row: str
    prompt: str
    reference: str
    text: str
    reward: float
    bar: float
    good: float
    fired: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class AttackResult:
    """What one attack earned.

    Attributes:
        summary: what the attack does.
        finding: what it found in the data, if anything.
        rows: of which it made a text.
        left_out: the rows of which its rule makes none.
        success: the share of its texts that reach the bar.
        mean: its mean reward; None without rows.
        highest: its greatest reward.
        good_mean: the mean reward of the same rows' good answers.
        auc: the chance that a good answer earns more.
        unscorable, truncated: shares of its texts.
        examples: those furthest above the bar, or nearest to it.
    """

    kind: str
    title: str
    summary: str
    finding: str
    rows: int
    left_out: int
    success: Share
    mean: float | None
    highest: float | None
    good_mean: float | None
    auc: float | None
    unscorable: float | None
    truncated: float | None
    examples: Sequence[Example]


@dataclass(frozen=True)
class Suspected:
    """A good answer on which a guard fires, and the words that made it."""

    row: str
    reference: str
    text: str
    words: Sequence[str]
    violation: float


@dataclass(frozen=True)
class Damage:
    """What a guard does to good answers.

    Attributes:
        fires: the share on which it fires.
        mean: its mean violation.
        examples: those that it holds most against.
    """

    fires: Share
    mean: float
    examples: Sequence[Suspected]


@dataclass(frozen=True)
class Card:
    """What an audit found.

    Attributes:
        spec: the reward's name; ``fingerprint`` and ``encoder`` are those of its spec.
        data: the file's name.
        rows: those audited, of ``rows_in_data``.
        bar: what counts as a success, in words.
        form: what texts were put into.
        good_from: how many rows have which good answers.
        good_mean: the mean reward of the good answers.
        unrelated_mean: the mean reward of another row's reference; None where no row has another's.
        least: the reward of a response that cannot be scored.
        unpaid: the share of rows whose good answers earn no more than ``unrelated_mean``.
        attacks: by success, then by mean.
        length_within: Spearman's correlation of reward and length, the mean over rows.
        length_pooled: the same over all texts.
        good_unscorable, good_truncated: shares of the good answers.
        good_unknown: the mean share of a good answer's words that the encoder does not know.
        noise: the spread of the reward over texts that nobody can tell apart.
        spread: its spread within rows; their ratio is ``noise_share``.
        damage: by guard.
        seconds: what the audit took, without loading.
    """

    spec: str
    fingerprint: str
    encoder: str
    data: str
    rows: int
    rows_in_data: int
    seed: int
    bar: str
    form: str
    good_from: Mapping[str, int]
    good_mean: float
    unrelated_mean: float | None
    least: float
    unpaid: Share
    attacks: Sequence[AttackResult]
    length_within: float | None
    length_pooled: float | None
    good_unscorable: Share
    good_truncated: Share
    good_unknown: float
    noise: float
    spread: float
    damage: Mapping[str, Damage]
    notes: Sequence[str]
    texts: int
    seconds: float

    @property
    def noise_share(self) -> float:
        """The noise as a share of the spread within rows."""
        return 0.0 if self.noise == 0 else self.noise / self.spread if self.spread else float("inf")

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        share = self.noise_share
        return {**asdict(self), "noise_share": None if share == float("inf") else share}
