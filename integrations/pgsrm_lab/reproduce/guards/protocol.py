"""The settings that every run of the guards study shares."""

from __future__ import annotations

from dataclasses import dataclass, field

from pgsrm_lab.reproduce.study import Protocol
from pgsrm_lab.tiny import Size
from pgsrm_lightning.algorithms.base import KLConfig
from pgsrm_lightning.algorithms.grpo import GRPOConfig


@dataclass(frozen=True)
class GuardsProtocol(Protocol):
    """The settings of the guards study.

    Attributes:
        goal: of the warm start, the probability that a sampled answer is a listed one, right or wrong.
        odds: how far the probabilities of right and of wrong answers may lie apart when it ends.
        grpo: of the training; each prompt of a step is answered ``group_size`` times.
    """

    size: Size = field(default_factory=lambda: Size(layers=2, width=64))
    goal: float = 0.95
    odds: float = 0.02
    steps: int = 18
    prompts_per_step: int = 11
    validate_every: int = 3
    grpo: GRPOConfig = field(
        default_factory=lambda: GRPOConfig(lr_actor=5e-4, kl=KLConfig(coef=0.02, schedule="fixed"))
    )

    @property
    def start(self) -> list[object]:
        """With how even it must be."""
        return [*super().start, self.odds]


QUICK = GuardsProtocol(
    size=Size(layers=1, width=32), goal=0.02, odds=0.2, steps=2, prompts_per_step=4, validate_every=1
)
"""Says whether everything runs, and nothing of the rewards."""
