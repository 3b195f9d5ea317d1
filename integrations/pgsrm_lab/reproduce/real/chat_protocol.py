"""The settings of every run with a pretrained child, in one place, and the grid made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pgsrm_lab.reproduce.study import Job, Protocol, Study
from pgsrm_lab.tasks import load_task
from pgsrm_lightning.algorithms.base import KLConfig
from pgsrm_lightning.algorithms.grpo import GRPOConfig
from pgsrm_lightning.algorithms.ppo import PPOConfig
from pgsrm_lightning.config import SamplingConfig
from pgsrm_plugin.pretrained.embedded import MODEL

SHORT = {"smollm2": MODEL}
"""What ``--child`` may be called for short."""
UPDATES = ("grpo", "ppo")
NO_KL = KLConfig(coef=0.0, schedule="fixed")
"""What the reward alone does; nothing holds the child back from a hack, and no reference pass is paid for."""


@dataclass(frozen=True)
class ChatProtocol(Protocol):
    """The settings of the study.

    Attributes:
        child: a causal language model's folder or hub id; it starts as it is.
        origin: what its weights are, as its own files say.
        steps, prompts_per_step: each prompt of a step is answered ``group_size`` times, under both update rules.
        sentence_tokens: what an answer may have beside the task's own tokens, for the sentence around it.
        temperature: of the sampling in training; what stands before and after is greedy.
        grpo: without a critic.
        ppo: its critic is a linear head on the child's own last hidden state, so it costs no second model; two passes
            over a step's answers, as with one the ratio is always 1 and nothing is clipped.
    """

    steps: int = 20
    prompts_per_step: int = 6
    child: str = MODEL
    origin: str = MODEL
    sentence_tokens: int = 14
    temperature: float = 1.0
    grpo: GRPOConfig = field(default_factory=lambda: GRPOConfig(group_size=8, lr_actor=3e-5, kl=NO_KL))
    ppo: PPOConfig = field(
        default_factory=lambda: PPOConfig(
            group_size=8, lr_actor=3e-5, lr_critic=1e-4, epochs=2, minibatches=1, entropy_coef=0.0, kl=NO_KL
        )
    )

    @property
    def start(self) -> list[object]:
        """The child, and how it is asked."""
        return [self.child, self.origin, self.sentence_tokens]

    def sampling(self, task: str) -> SamplingConfig:
        """How a task's prompts are presented and answered."""
        room = load_task(task).new_tokens + self.sentence_tokens
        return SamplingConfig(max_new_tokens=room, temperature=self.temperature, chat=True, eval_batch_size=32)


def plan(
    study: Study,
    tasks: Sequence[str],
    arms: Sequence[str],
    updates: Sequence[str],
    seeds: int,
    protocol: ChatProtocol,
    out: Path,
) -> list[Job]:
    """The jobs of a grid, GRPO first and seed by seed; all of what is not named.

    Raises:
        SpecError: a task, an arm or an update rule does not exist.
    """
    study.check(tasks, arms, updates)
    return [
        Job(study, task, arm, update, seed, protocol, out)
        for update in updates or UPDATES
        for seed in range(seeds)
        for task in tasks or study.tasks
        for arm in arms or study.arms
    ]
