"""What the demo runs, in one place: sizes, steps, and the one set of PPO settings that both rewards share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pgsrm_lab.demo.child import DemoPlan
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
class RewardsPlan(DemoPlan):
    """The settings of every run; a PPO step scores ``prompts_per_step`` responses."""

    steps: int = 120
    seeds: int = 3
    jobs: int = 2
    prompts_per_step: int = 128
    ppo: PPOConfig = PPO_SETTINGS


def quick(out: Path, jobs: int) -> RewardsPlan:
    """A plan of seconds: everything happens, nothing much is learned."""
    tiny = Size(layers=2, width=128)
    return RewardsPlan(out, steps=4, seeds=1, jobs=jobs, prompts_per_step=16, validate_every=2, child=tiny, parent=tiny)


@dataclass(frozen=True)
class RewardRun:
    """One training run; everything that a worker needs to know, picklable."""

    label: str
    seed: int
    plan: RewardsPlan

    @property
    def name(self) -> str:
        """What it is called on the progress display and in errors."""
        return f"{self.label}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        return self.plan.out / LABELS[self.label] / f"seed{self.seed}"
