"""What the demo runs, in one place: sizes, steps, and the one set of PPO settings that both rewards share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pgsrm_lab.tiny import Size
from pgsrm_lightning.algorithms.base import KLConfig
from pgsrm_lightning.algorithms.ppo import PPOConfig

LABELS = {"PGSRM": "pgsrm", "binary": "binary"}
"""Each reward's name on the page and its shipped spec."""

PPO_SETTINGS = PPOConfig(
    epochs=2,
    minibatches=2,
    entropy_coef=0.02,
    lr_actor=2e-4,
    lr_critic=1e-3,
    kl=KLConfig(coef=0.002, schedule="fixed"),
)


@dataclass(frozen=True)
class Plan:
    """The demo's settings.

    Attributes:
        steps: PPO steps of every run; each scores ``prompts_per_step`` responses.
        validate_every: steps between validations.
        warm_start: the child's supervised run stops once it samples the right answer with this probability.
    """

    out: Path
    seeds: int = 3
    steps: int = 120
    jobs: int = 2
    prompts_per_step: int = 128
    new_tokens: int = 3
    validate_every: int = 10
    warm_start: float = 0.15
    child: Size = field(default_factory=lambda: Size(layers=3, width=256))
    parent: Size = field(default_factory=lambda: Size(layers=3, width=256))
    ppo: PPOConfig = PPO_SETTINGS


def quick(out: Path, jobs: int) -> Plan:
    """A plan of seconds: everything happens, nothing much is learned."""
    tiny = Size(layers=2, width=128)
    return Plan(out, seeds=1, steps=4, jobs=jobs, prompts_per_step=16, validate_every=2, child=tiny, parent=tiny)


@dataclass(frozen=True)
class Job:
    """One training run; everything that a worker needs to know, picklable."""

    label: str
    seed: int
    plan: Plan

    @property
    def folder(self) -> Path:
        return self.plan.out / LABELS[self.label] / f"seed{self.seed}"
