"""What responses earn, in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pgsrm_plugin.audit.targets import Target
from pgsrm_plugin.reward import SemanticReward, accuracy
from pgsrm_plugin.spec import RewardSpec


@dataclass(frozen=True)
class Paid:
    """What a response earned.

    Attributes:
        chars: the length of its scored part.
        right: whether the spec's verdict is that it is right.
        guards: the violation that each guard of the spec found.
        unknown: the share of its words that the encoder does not know.
        words: what made each guard fire that did.
    """

    reward: float
    unscorable: bool
    truncated: bool
    chars: int
    right: bool
    guards: Mapping[str, float]
    unknown: float = 0.0
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def as_audited(spec: RewardSpec) -> RewardSpec:
    """The spec as an audit scores with it: a reward of the row alone, and an unscorable text earns the least."""
    return spec.alone().model_copy(update={"unscorable": "floor"})


class Paymaster:
    """Scores responses.

    Args:
        reward: of a spec :func:`as_audited`.
        batch_size: rows scored at a time.
        advance: is told how many were scored.
    """

    def __init__(
        self, reward: SemanticReward, batch_size: int = 256, advance: Callable[[int], None] = lambda rows: None
    ) -> None:
        self.reward = reward
        self._batch_size = batch_size
        self._advance = advance

    @property
    def least(self) -> float:
        """What a response earns that cannot be scored."""
        spec = self.reward.spec
        return sum(spec.weight(name) * self.reward.worst(name) for name in spec.terms)

    def pay(self, responses: Sequence[tuple[Target, str]]) -> list[Paid]:
        """What each response earns as the answer to its row."""
        paid: list[Paid] = []
        for start in range(0, len(responses), self._batch_size):
            paid += self._batch(responses[start : start + self._batch_size])
        return paid

    def afresh(self, batch_size: int) -> Paymaster:
        """The same reward with nothing kept from before, and batches of another size."""
        spec = self.reward.spec.model_copy(update={"cache_mb": 0.0, "disk_cache": None})
        return Paymaster(SemanticReward(spec, self.reward.encoder), batch_size, self._advance)

    def _batch(self, responses: Sequence[tuple[Target, str]]) -> list[Paid]:
        samples = [row.sample(text) for row, text in responses]
        output = self.reward.score(samples, label=lambda i: responses[i][0].label)
        right = accuracy(output, samples, self.reward.spec).tolist()
        found = {name: values_B.tolist() for name, values_B in output.diagnostics.items()}
        guards = {name: values_B.tolist() for name, values_B in output.violations.items()}
        self._advance(len(samples))
        return [
            Paid(
                reward,
                bool(found["unscorable"][i]),
                bool(found["truncated"][i]),
                int(found["response_chars"][i]),
                right[i] >= 1.0,
                {name: values[i] for name, values in guards.items()},
                found["unknown_words"][i],
                output.guard_words[i] if output.guard_words else {},
            )
            for i, reward in enumerate(output.rewards.tolist())
        ]
