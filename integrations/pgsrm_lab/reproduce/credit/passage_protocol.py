"""The settings that every run on the passages shares."""

from __future__ import annotations

from dataclasses import dataclass, field

from pgsrm_lab.reproduce.study import Protocol
from pgsrm_lab.tiny import Size
from pgsrm_lightning.algorithms.base import KLConfig
from pgsrm_lightning.algorithms.grpo import GRPOConfig


@dataclass(frozen=True)
class PassageProtocol(Protocol):
    """The settings of the runs on passages.

    Attributes:
        goal: of the warm start, the probability that a sampled explanation is one of those taught.
        taught, wrong: explanations of a passage that the child is taught, and the probability that a sentence of
            them is wrong: of five, one on average.
        odds: how far the share of right sentences may lie from what was taught when the warm start ends.
        told: of the child that is trained on, on the experts' explanations: it ends once it samples them with this
            probability.
        grpo: of the training; each prompt of a step is answered ``group_size`` times.
    """

    size: Size = field(default_factory=lambda: Size(layers=1, width=64))
    goal: float = 0.95
    taught: int = 64
    wrong: float = 0.2
    odds: float = 0.02
    told: float = 0.5
    steps: int = 24
    prompts_per_step: int = 4
    validate_every: int = 4
    grpo: GRPOConfig = field(
        default_factory=lambda: GRPOConfig(lr_actor=3e-4, kl=KLConfig(coef=0.05, schedule="fixed"))
    )

    @property
    def start(self) -> list[object]:
        """With how even it must be, and how much the child that is trained on knows."""
        return [*super().start, self.taught, self.wrong, self.odds, self.told]


QUICK_PASSAGES = PassageProtocol(
    size=Size(layers=1, width=32), goal=0.02, odds=1.0, told=0.0, steps=2, prompts_per_step=2, validate_every=1
)
"""Says whether everything runs, and nothing of the credits."""
